//! Execs that others than people ask for: health checks, CRI, containerd.

use std::time::Duration;

use e2e::{
    Kind, Scene, command,
    cri::crictl,
    ctr::{Task, ctr},
    events::{Listener, plain},
    for_kinds, until,
};
use serde_json::{Value, json};

for_kinds! {
    a_health_check_that_succeeds_makes_a_container_healthy;
    a_health_check_that_fails_makes_a_container_unhealthy;
    a_program_without_a_shell_is_a_health_check;
    an_exec_by_cri_passes_on_both_streams_and_the_exit_code;
    an_exec_by_cri_that_takes_too_long_is_ended;
    an_exec_by_ctr_passes_on_both_streams_and_the_exit_code;
    an_exec_by_ctr_reads_standard_input_to_its_end;
    an_exec_is_killed_by_its_id_and_alone;
    an_exec_is_among_the_processes_of_its_task;
    the_events_of_an_exec_are_those_under_runc;
    the_events_of_an_exec_that_cannot_start_are_those_under_runc;
}

fn a_health_check_that_succeeds_makes_a_container_healthy(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both");
    let flags = ["--health-cmd", "echo checked; test -e /data/greeting", "--health-interval", "100ms"];
    let container = run.flags(flags).detach(kind.sleeper());
    until("a healthy container", || (container.inspect(".State.Health.Status") == "healthy").then_some(()));
    assert_eq!(container.inspect("(index .State.Health.Log 0).Output"), "checked");
}

fn a_health_check_that_fails_makes_a_container_unhealthy(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both").flags(["--health-interval", "100ms", "--health-retries", "2"]);
    let container = run.flags(["--health-cmd", "echo checked; exit 3"]).detach(kind.sleeper());
    until("an unhealthy container", || (container.inspect(".State.Health.Status") == "unhealthy").then_some(()));
    let last = "(index .State.Health.Log 0)";
    assert_eq!(container.inspect(&format!("{last}.Output")), "checked");
    assert_eq!(container.inspect(&format!("{last}.ExitCode")), "3");
}

fn a_program_without_a_shell_is_a_health_check(scene: &Scene, kind: Kind) {
    // Docker's client can ask for a shell's line only.
    let container = scene.docker(kind).image("both").create(kind.sleeper());
    let image = container.inspect(".Config.Image");
    container.remove();
    let program = kind.either(["CMD", "/exit.wasm", "0"], ["CMD", "busybox", "true"]);
    let config = json!({
        "Image": image,
        "Cmd": kind.sleeper(),
        "Labels": { "e2e": "" },
        "Healthcheck": { "Test": program, "Interval": 100_000_000 },
        "HostConfig": { "Runtime": kind.runtime() },
    });
    let name = &container.name;
    let create =
        command("curl").args(["-sS", "--unix-socket", "/run/docker.sock", "-H", "Content-Type: application/json"]);
    let create =
        create.arg("-d").arg(config.to_string()).arg(format!("http://docker/containers/create?name={name}")).run();
    assert!(create.stdout.contains("\"Id\""), "{create}");
    container.docker(["start"]);
    until("a healthy container", || (container.inspect(".State.Health.Status") == "healthy").then_some(()));
}

fn an_exec_by_cri_passes_on_both_streams_and_the_exit_code(scene: &Scene, kind: Kind) {
    let container = scene.pod(kind).container(kind, &kind.sleeper());
    container.says("sleeping");
    let both = kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    for sync in [&["-s"][..], &[]] {
        let exec = |words: Vec<String>| crictl(["exec"]).args(sync.iter().copied()).arg(&container.id).args(words);
        let both = exec(both.iter().map(ToString::to_string).collect()).finish().exits(0);
        // With -s the client prints both to standard output.
        assert!(both.stdout.starts_with("to stdout\n"), "{both}");
        assert!(format!("{}{}", both.stdout, both.stderr).contains("to stderr\n"), "{both}");
        let failed = exec(kind.exiter(42)).finish().fails();
        assert!(failed.stderr.contains("42"), "{failed}");
    }
}

fn an_exec_by_cri_that_takes_too_long_is_ended(scene: &Scene, kind: Kind) {
    let container = scene.pod(kind).container(kind, &kind.sleeper());
    container.says("sleeping");
    let exec = crictl(["exec", "-s", "--timeout", "1", &container.id]).args(kind.sleeper()).finish();
    exec.fails().says_in_one_line(&["DeadlineExceeded"]).takes_less_than(Duration::from_secs(10));
    let pids = |task: &str| ctr(["-n", "k8s.io", "task", "ps", task]).run().lines().len() - 1;
    until("the end of the exec", || (pids(&container.id) == 1).then_some(()));
}

/// A task with the programs of both kinds, whose own sleeps.
fn task(scene: &Scene, kind: Kind) -> Task {
    scene.ctr(kind).image("both").start(kind.sleeper())
}

fn an_exec_by_ctr_passes_on_both_streams_and_the_exit_code(scene: &Scene, kind: Kind) {
    let task = task(scene, kind);
    let both = kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    task.exec(&[], both).finish().exits(0).prints("to stdout\n").complains("to stderr\n");
    task.exec(&[], kind.exiter(42)).finish().exits(42);
}

fn an_exec_by_ctr_reads_standard_input_to_its_end(scene: &Scene, kind: Kind) {
    let task = task(scene, kind);
    task.exec(&[], kind.echoer()).input("typed\n").finish().exits(0).prints("ready\ntyped\n");
}

fn an_exec_is_killed_by_its_id_and_alone(scene: &Scene, kind: Kind) {
    let task = task(scene, kind);
    let init = task.init();
    let mut execs = ["one", "two"].map(|id| {
        let mut exec = task.exec_as(id, &[], kind.sleeper()).spawn();
        until("the exec's output", || exec.stdout().contains("sleeping").then_some(()));
        exec
    });
    ctr(["task", "kill", "-s", "KILL", "--exec-id", "one", &task.id]).run();
    assert!(execs[0].wait(Duration::from_secs(5)), "the exec goes on");
    assert!(!execs[1].wait(Duration::from_millis(100)), "the other exec ended too");
    assert!(init.lives(), "the container ended too");
    ctr(["task", "kill", "-s", "KILL", "--exec-id", "two", &task.id]).run();
    for exec in execs.iter_mut() {
        assert!(exec.wait(Duration::from_secs(5)));
    }
    for exec in execs {
        exec.end().exits(137);
    }
}

fn an_exec_is_among_the_processes_of_its_task(scene: &Scene, kind: Kind) {
    let task = task(scene, kind);
    let count = || ctr(["task", "ps", &task.id]).run().lines().len() - 1;
    assert_eq!(count(), 1);
    let mut exec = task.exec_as("one", &[], kind.sleeper()).spawn();
    until("the exec's output", || exec.stdout().contains("sleeping").then_some(()));
    assert_eq!(count(), 2);
    ctr(["task", "kill", "-s", "KILL", "--exec-id", "one", &task.id]).run();
    exec.wait(Duration::from_secs(5));
    assert_eq!(count(), 1);
}

/// The events of an exec, from its making to its end.
fn events_of(scene: &Scene, kind: Kind, words: Vec<String>, works: bool) -> Vec<String> {
    let task = task(scene, kind);
    let mut listener = Listener::start();
    let exec = task.exec_as("one", &[], words).finish();
    assert!(works == (exec.code == 3), "{exec}");
    if works {
        listener.hears("/tasks/exit");
    } else {
        listener.hears("/tasks/exec-added");
    }
    let events = listener.end();
    let of_exec = |(_, message): &&(String, Value)| message["container_id"] == *task.id;
    plain(&events.iter().filter(of_exec).cloned().collect::<Vec<_>>(), &task.id)
}

fn the_events_of_an_exec_are_those_under_runc(scene: &Scene, kind: Kind) {
    e2e::expect_as_under_runc(kind, |kind| {
        let events = events_of(scene, kind, kind.exiter(3), true);
        assert_eq!(events.len(), 3, "{events:#?}");
        events
    });
}

fn the_events_of_an_exec_that_cannot_start_are_those_under_runc(scene: &Scene, kind: Kind) {
    e2e::expect_as_under_runc(kind, |kind| events_of(scene, kind, vec!["/missing.wasm".into()], false));
}
