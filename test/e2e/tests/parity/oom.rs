//! Containers that need more memory than they may have. A module's own memory does not grow beyond the limit, but
//! files in memory do.

use e2e::{
    Kind, Scene,
    docker::docker,
    events::{Listener, plain},
    expect_as_under_runc, for_kinds, until,
};

for_kinds! {
    a_container_that_is_out_of_memory_is_shown_as_such;
    a_program_that_takes_all_memory_is_shown_as_out_of_memory: Linux Runc;
    a_container_that_fails_otherwise_is_not_shown_as_out_of_memory;
    the_events_of_a_task_that_is_out_of_memory_are_those_under_runc;
    docker_tells_of_the_event;
    an_exec_that_is_out_of_memory_is_killed_alone;
    the_status_of_a_pod_s_container_says_why_it_ended;
    a_container_that_is_killed_while_it_is_made_says_so: Wasm Linux;
    a_pod_s_container_that_is_killed_while_it_is_made_says_so: Wasm Linux;
    an_exec_that_is_killed_while_it_is_made_says_so: Wasm Linux;
}

const LIMIT: [&str; 4] = ["-m", "32m", "--memory-swap", "32m"];

/// Words of a program that fills a file in memory, far beyond the limit.
fn filler(kind: Kind) -> Vec<&'static str> {
    kind.either(
        vec!["/fill.wasm", "/full/file", "100"],
        vec!["dd", "if=/dev/zero", "of=/full/file", "bs=1M", "count=100"],
    )
}

fn a_container_that_is_out_of_memory_is_shown_as_such(scene: &Scene, kind: Kind) {
    expect_shown(scene, kind, &["--tmpfs", "/full:size=200m"], &filler(kind));
}

fn a_program_that_takes_all_memory_is_shown_as_out_of_memory(scene: &Scene, kind: Kind) {
    expect_shown(scene, kind, &[], &["tail", "/dev/zero"]);
}

/// Under this runtime each time; runc's shim tells of it too late now and then, so that one of several has to do.
fn expect_shown(scene: &Scene, kind: Kind, flags: &[&str], words: &[&str]) {
    let shown = || {
        let run = scene.docker(kind).flags(LIMIT).flags(flags.iter().copied());
        let (run, container) = run.keep(words.iter().copied());
        run.exits(137);
        let shown = container.inspect(".State.OOMKilled") == "true";
        container.remove();
        shown
    };
    match kind {
        Kind::Runc => assert!((0..6).any(|_| shown()), "not once out of six times"),
        _ => (0..3).for_each(|_| assert!(shown(), "not shown as out of memory")),
    }
}

fn a_container_that_fails_otherwise_is_not_shown_as_out_of_memory(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flags(LIMIT).detach(kind.sleeper());
    container.says("sleeping").kill("KILL");
    assert_eq!(container.wait(), 137);
    assert_eq!(container.inspect(".State.OOMKilled"), "false");
}

fn the_events_of_a_task_that_is_out_of_memory_are_those_under_runc(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let mount = "type=tmpfs,src=tmpfs,dst=/full,options=size=200m";
        let task = scene.ctr(kind).flags(["--memory-limit", "33554432", "--mount", mount]).create(filler(kind));
        let mut listener = Listener::start();
        task.start();
        assert!(listener.hears("/tasks/exit"), "no event tells of the end");
        listener.hears("/tasks/oom");
        let mut events = plain(&listener.end(), &task.id);
        // How often the kernel tells, and whether that is before or after the end, is chance.
        events.sort();
        events.dedup();
        assert!(events.iter().any(|event| event.starts_with("/tasks/oom")), "no event of it: {events:?}");
        events
    });
}

fn docker_tells_of_the_event(scene: &Scene, kind: Kind) {
    let (run, container) = scene.docker(kind).flags(LIMIT).flags(["--tmpfs", "/full:size=200m"]).keep(filler(kind));
    run.exits(137);
    until("Docker's event", || {
        let filters = ["--filter", "event=oom", "--filter", &format!("container={}", container.name)];
        let events = docker(["events", "--since", "1m", "--until", "0s"]).args(filters).run();
        (!events.stdout.is_empty()).then_some(())
    });
}

fn an_exec_that_is_out_of_memory_is_killed_alone(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both").flags(LIMIT).flags(["--tmpfs", "/full:size=200m"]);
    let container = run.detach(kind.sleeper());
    container.says("sleeping");
    container.exec(&[], ["tail", "/dev/zero"]).finish().exits(137);
    assert!(container.init().lives());
    assert_eq!(container.inspect(".State.Running"), "true");
}

fn the_status_of_a_pod_s_container_says_why_it_ended(scene: &Scene, kind: Kind) {
    // Files in /dev/shm are in memory; a sandbox's is of 64 MB, so the container mounts nothing of its own.
    let words = kind.either(
        vec!["/fill.wasm", "/dev/shm/file", "60"],
        vec!["dd", "if=/dev/zero", "of=/dev/shm/file", "bs=1M", "count=60"],
    );
    let container = scene.pod(kind).container_with(kind, &words, |config| {
        config["linux"]["resources"] = serde_json::json!({ "memory_limit_in_bytes": 33_554_432 });
    });
    assert_eq!(container.wait(), 137);
    until("the reason", || (container.status()["reason"] == "OOMKilled").then_some(()));
}

/// runc's words, for limits that runc itself does not even set.
const KILLED: &str = "container init was OOM-killed (memory limit too low?)";

/// Less than any process takes, in bytes.
const TOO_LOW: u64 = 100_000;

fn a_container_that_is_killed_while_it_is_made_says_so(scene: &Scene, kind: Kind) {
    let run = scene.ctr(kind).flags([format!("--memory-limit={TOO_LOW}")]).run(kind.exiter(0));
    run.fails().says_in_one_line(&[KILLED]);
}

fn a_pod_s_container_that_is_killed_while_it_is_made_says_so(scene: &Scene, kind: Kind) {
    let words = kind.exiter(0);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let refused = scene.pod(kind).try_container_with(kind, &words, |config| {
        config["linux"]["resources"] = serde_json::json!({ "memory_limit_in_bytes": TOO_LOW });
    });
    refused.expect_err("it starts").says_in_one_line(&[KILLED]);
}

fn an_exec_that_is_killed_while_it_is_made_says_so(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both").flags(LIMIT).flags(["--tmpfs", "/full:size=200m"]);
    let container = run.detach(Kind::Linux.sleeper());
    container.says("sleeping");
    // The writer is to be killed and not the container; what is in the file stays.
    let fill = "echo 1000 > /proc/self/oom_score_adj; exec dd if=/dev/zero of=/full/file bs=4k count=50000";
    container.exec(&[], ["sh", "-c", fill]).finish().exits(137);
    let run = container.exec(&[], kind.exiter(0)).finish();
    // Docker's client prints what was refused there.
    let cause = "exec failed: unable to start container process: ";
    let run = run.fails();
    assert!(run.stdout.contains(cause) && run.stdout.trim_end().ends_with(" (possibly OOM-killed)"), "{run}");
    assert!(container.init().lives());
}
