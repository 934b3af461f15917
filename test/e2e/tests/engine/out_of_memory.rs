//! Modules to which their container's limit refused memory. Of those that fail then clients learn what they learn of a Linux
//! program that the kernel kills for want of memory.

use std::{thread, time::Duration};

use e2e::{
    Kind, Scene, ctr,
    docker::{Container, docker},
    events::Listener,
    until,
};

const LIMIT: [&str; 4] = ["-m", "32m", "--memory-swap", "32m"];

/// Panics unless Docker shows the container as out of memory, or not, and was told so once, or not at all.
#[track_caller]
fn expect(container: &Container, out_of_memory: bool) {
    let shown = || container.inspect(".State.OOMKilled") == "true";
    let filters = ["--filter", "event=oom", "--filter", &format!("container={}", container.name)];
    let told = || docker(["events", "--since", "10m", "--until", "0s"]).args(filters).run().lines().len();
    if out_of_memory {
        until("Docker's event", || (shown() && told() > 0).then_some(()));
    }
    // Docker knows of whole seconds only, and another one may be on its way.
    thread::sleep(Duration::from_secs(2));
    assert_eq!((shown(), told()), (out_of_memory, usize::from(out_of_memory)));
}

/// The line of a module that is out of memory in a container with [`LIMIT`].
fn line(program: &str) -> String {
    format!("wasmedge: {program} is out of memory: memory.grow was refused, the container's memory limit is 32 MiB\n")
}

#[test]
fn one_that_ends_with_an_error_is_shown_as_out_of_memory() {
    let scene = Scene::new();
    let (run, container) = scene.docker(Kind::Wasm).flags(LIMIT).keep(["/memory.wasm", "100"]);
    let run = run.exits(7);
    assert_eq!(run.stderr, line("/memory.wasm"));
    expect(&container, true);
}

#[test]
fn one_that_traps_is_shown_as_out_of_memory_interpreted_and_native() {
    for policy in ["off", "wait"] {
        let scene = Scene::new();
        let run = scene.docker(Kind::Wasm).flags(LIMIT).flags(["--annotation", &format!("io.wasmedge.aot={policy}")]);
        let (run, container) = run.keep(["/memory.wasm", "100", "trap"]);
        let run = run.exits(134);
        assert!(run.stderr.contains("trapped: ") && run.stderr.ends_with(&line("/memory.wasm")), "{run}");
        expect(&container, true);
    }
}

#[test]
fn one_that_goes_on_and_succeeds_is_not() {
    let scene = Scene::new();
    let (run, container) = scene.docker(Kind::Wasm).flags(LIMIT).keep(["/memory.wasm", "100", "go-on"]);
    assert_eq!(run.exits(0).stderr, "");
    expect(&container, false);
}

#[test]
fn one_that_is_asked_to_end_is_not() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).flags(LIMIT).detach(["/memory.wasm", "100", "sleep"]);
    container.says("memory.grow failed").kill("TERM");
    assert_eq!(container.wait(), 143);
    expect(&container, false);
}

#[test]
fn one_that_other_limits_refuse_memory_is_not() {
    let scene = Scene::new();
    let (run, container) =
        scene.docker(Kind::Wasm).flags(["--annotation", "io.wasmedge.memory-pages=512"]).keep(["/memory.wasm", "100"]);
    assert_eq!(run.exits(7).stderr, "");
    expect(&container, false);
    let (run, container) = scene
        .docker(Kind::Wasm)
        .flags(["--ulimit", "data=100000000"])
        .flags(["-m", "1g"])
        .keep(["/memory.wasm", "1000"]);
    assert_eq!(run.exits(7).stderr, "");
    expect(&container, false);
}

#[test]
fn the_limit_that_is_named_is_the_one_of_an_update() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).flags(["-i"]).flags(["-m", "64m", "--memory-swap", "64m"]);
    let name = run.name().to_owned();
    let mut live = run.command(["/memory.wasm", "-"]).open_input().spawn();
    live.says("ready");
    docker(["update", "-m", "32m", "--memory-swap", "32m", &name]).run();
    live.write("100\n");
    live.says("refused");
    // No number.
    live.write("x\n");
    assert!(live.wait(Duration::from_secs(10)), "it reads on");
    let run = live.end();
    assert!(run.code != 0 && run.stderr.ends_with(&line("/memory.wasm")), "{run}");
}

#[test]
fn an_exec_is_told_of_and_its_container_lives() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).flags(LIMIT).detach(Kind::Wasm.sleeper());
    container.says("sleeping");
    let run = container.exec(&[], ["/memory.wasm", "100"]).finish().exits(7);
    assert_eq!(run.stderr, line("/memory.wasm"));
    assert!(container.init().lives());
    expect(&container, true);
}

#[test]
fn the_event_comes_once_and_before_that_of_the_end() {
    let scene = Scene::new();
    let task: ctr::Task = scene.ctr(Kind::Wasm).flags(["--memory-limit", "33554432"]).create(["/memory.wasm", "100"]);
    let mut listener = Listener::start();
    task.start();
    assert!(listener.hears("/tasks/exit"), "no event tells of the end");
    let of_task = |(_, message): &(String, serde_json::Value)| message["container_id"] == task.id.as_str();
    let topics: Vec<String> = listener.end().into_iter().filter(of_task).map(|(topic, _)| topic).collect();
    assert_eq!(topics, ["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit"]);
}

#[test]
fn a_pod_s_container_has_it_as_its_reason() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let container = pod.container_with(Kind::Wasm, &["/memory.wasm", "100"], |config| {
        config["linux"]["resources"] = serde_json::json!({ "memory_limit_in_bytes": 33_554_432 });
    });
    assert_eq!(container.wait(), 7);
    until("the reason", || (container.status()["reason"] == "OOMKilled").then_some(()));
    assert!(container.logs().stderr.contains(line("/memory.wasm").trim_end()), "{}", container.logs());
}
