//! Containers between `docker create` and `docker rm`.

use e2e::{Kind, Scene, docker::docker, engine, until};

#[test]
fn a_container_that_was_never_started_is_removed() {
    let scene = Scene::new();
    for kind in [Kind::Wasm, Kind::Linux] {
        let container = scene.docker(kind).create(["/hello.wasm"]);
        assert_eq!(container.inspect(".State.Status"), "created");
        container.docker(["rm"]);
    }
}

#[test]
fn a_container_starts_again_and_again() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).create(["/both.wasm"]);
    for _ in 0..3 {
        container.docker(["start", "-a"]).prints("to stdout\n").complains("to stderr\n");
        assert_eq!(container.exit_code(), 0);
    }
    container.logs().prints(&"to stdout\n".repeat(3));
}

#[test]
fn docker_restart_replaces_the_process() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    let first = container.says("sleeping").init();
    container.docker(["restart"]);
    let second = container.init();
    assert!(second.lives() && !first.lives() && second.pid != first.pid);
    until("the second start's output", || (container.logs().stdout == "sleeping\nsleeping\n").then_some(()));
}

#[test]
fn a_restart_policy_is_kept_to() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).flag("--restart=on-failure:2").detach(["/exit.wasm", "3"]);
    until("two restarts", || {
        let count = container.inspect(".RestartCount") == "2";
        (count && container.inspect(".State.Status") == "exited").then_some(())
    });
    assert_eq!(container.exit_code(), 3);
}

#[test]
fn a_removed_container_is_gone() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm);
    run.run(["/hello.wasm"]).exits(0);
    let container = run.detach(["/sleep.wasm", "600"]);
    let init = container.says("sleeping").init();
    container.remove();
    assert!(!init.lives());
    docker(["inspect", &container.name]).finish().fails();
}

#[test]
fn a_port_that_is_taken_stops_the_start_and_leaves_nothing() {
    let scene = Scene::new();
    let _taken = std::net::TcpListener::bind("0.0.0.0:18082").unwrap();
    for (kind, words) in [(Kind::Wasm, ["/http.wasm", "80"]), (Kind::Linux, ["sleep", "600"])] {
        let run = scene.docker(kind).flags(["-p", "18082:80"]).run(words);
        run.exits(125).says_in_one_line(&["18082"]);
    }
    assert_eq!(engine::shims(), []);
}

#[test]
fn docker_top_shows_the_module() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    let init = container.says("sleeping").init();
    let top = docker(["top", &container.name, "-o", "pid,comm"]).run();
    let lines: Vec<Vec<&str>> = top.lines().into_iter().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [vec!["PID", "COMMAND"], vec![&init.pid.to_string(), "sleep.wasm"]]);
}

#[test]
fn docker_stats_tells_the_memory_and_processes() {
    let scene = Scene::new();
    for (kind, words) in [(Kind::Wasm, ["/sleep.wasm", "600"]), (Kind::Linux, ["sleep", "600"])] {
        let container = scene.docker(kind).detach(words);
        let stats = docker(["stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", &container.name]).run();
        let fields: Vec<_> = stats.stdout.split_whitespace().collect();
        assert!(fields.first().is_some_and(|used| *used != "0B") && fields.last() == Some(&"1"), "{kind:?}\n{stats}");
    }
}

#[test]
fn a_container_has_a_shim_of_its_own_and_one_host_serves_all() {
    let scene = Scene::new();
    let host = engine::running_host();
    let containers: Vec<_> = (0..3).map(|_| scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"])).collect();
    assert_eq!(engine::shims().len(), 3);
    assert_eq!(engine::running_host(), host);
    for container in &containers {
        assert_eq!(container.init().parent, host.pid, "the host is the parent of the containers");
    }
}
