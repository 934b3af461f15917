//! Tasks by `ctr`.

use e2e::{
    Kind, Scene,
    ctr::{Task, ctr},
    engine,
};

#[test]
fn ctr_run_prints_the_output_and_passes_the_exit_code_on() {
    let scene = Scene::new();
    scene.ctr(Kind::Wasm).run(["/hello.wasm", "word"]).exits(0).prints("hello from wasm\nword\n");
    scene.ctr(Kind::Wasm).run(["/both.wasm"]).exits(0).prints("to stdout\n").complains("to stderr\n");
    scene.ctr(Kind::Wasm).run(["/exit.wasm", "42"]).exits(42);
    scene.ctr(Kind::Linux).run(["sh", "-c", "echo linux; exit 7"]).exits(7).prints("linux\n");
}

#[test]
fn a_task_is_started_listed_killed_and_deleted() {
    let scene = Scene::new();
    for (kind, words, code) in [
        (Kind::Wasm, ["/sleep.wasm", "600"], 143),
        (Kind::Linux, ["sleep", "600"], 137),
        (Kind::Runc, ["sleep", "600"], 137),
    ] {
        let task = scene.ctr(kind).start(words);
        let (pid, state) = task.state().unwrap();
        assert_eq!(state, "RUNNING");
        assert!(task.init().lives() && task.init().pid == pid);
        task.kill(if code == 143 { "TERM" } else { "KILL" });
        task.stopped();
        assert_eq!(task.delete(), code, "{kind:?}");
        task.remove();
    }
}

#[test]
fn a_container_gets_one_task_after_the_other() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).create(["/exit.wasm", "3"]);
    for _ in 0..3 {
        task.start();
        task.stopped();
        assert_eq!(task.delete(), 3);
    }
    task.remove();
}

#[test]
fn a_running_task_cannot_be_deleted_unless_by_force() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]);
    let init = task.init();
    ctr(["task", "delete", &task.id]).finish().fails().says_in_one_line(&["running"]);
    assert!(init.lives());
    ctr(["task", "delete", "--force", &task.id]).finish();
    assert!(task.state().is_none() && !init.lives());
}

#[test]
fn a_container_without_a_task_is_removed() {
    let scene = Scene::new();
    scene.ctr(Kind::Wasm).create(["/hello.wasm"]).remove();
    assert_eq!(engine::shims(), []);
}

#[test]
fn the_processes_of_a_task_are_listed() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]);
    let pids = |list: &e2e::Finished| -> Vec<i32> {
        list.lines().iter().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
    };
    let list = ctr(["task", "ps", &task.id]).run();
    assert_eq!(pids(&list), [task.init().pid], "{list}");
    let task = scene.ctr(Kind::Linux).start(["sh", "-c", "sleep 600 & sleep 600 & wait"]);
    e2e::until("three processes", || (pids(&ctr(["task", "ps", &task.id]).run()).len() == 3).then_some(()));
}

/// Fields that are 0 or not by what else the machine does, of either version of cgroups: waiting, reading from disk,
/// writing to it, huge pages, and which pages of files the kernel takes for used.
const BY_LOAD: [&str; 9] =
    [".psi.", ".thp_", ".pgmajfault", ".file_dirty", ".io.usage", "pg_maj_fault", "dirty", "writeback", "active_file"];

#[test]
fn the_metrics_of_a_task_have_the_fields_that_runc_s_have() {
    let scene = Scene::new();
    let metrics = |task: &Task| {
        let text = ctr(["task", "metrics", "--format", "json", &task.id]).run().stdout;
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    };
    // A field that is 0 is left out. The program computes in user space and in the kernel, as processor time is
    // counted by the clock's ticks, of which a sleeping program may have none; and the kernel counts memory in batches.
    // It is a copy of the container's own: the pages of an image's file are counted for whoever touched them first,
    // which may be another container, or one that is gone.
    let program = "cp /bin/busybox /busybox.own && \
        exec /busybox.own sh -c 'while :; do /busybox.own cat /proc/self/status; done > /dev/null'";
    let busy = |kind| scene.ctr(kind).start(["sh", "-c", program]);
    let (ours, runc) = (busy(Kind::Linux), busy(Kind::Runc));
    let names = |task| {
        let mut names = fields(&metrics(task));
        names.retain(|name| !BY_LOAD.iter().any(|part| name.contains(part)));
        names
    };
    let mut seen = (names(&ours), names(&runc));
    let same = e2e::within(std::time::Duration::from_secs(10), || {
        seen = (names(&ours), names(&runc));
        (seen.0 == seen.1).then_some(())
    });
    assert!(same.is_some(), "other fields than under runc: {seen:#?}");
    let wasm = metrics(&scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]));
    let text = wasm.to_string();
    assert!(wasm["pids"]["current"] == 1, "{text}");
    let used = wasm["memory"]["usage"]["usage"].as_u64().or_else(|| wasm["memory"]["usage"].as_u64()).unwrap_or(0);
    assert!((100_000..100_000_000).contains(&used), "{used} bytes of memory in {text}");
}

/// The names of all fields but those in lists, which have one entry per device.
fn fields(value: &serde_json::Value) -> Vec<String> {
    let Some(object) = value.as_object() else { return vec![String::new()] };
    let mut names: Vec<String> = object
        .iter()
        .flat_map(|(name, value)| fields(value).into_iter().map(move |inner| format!("{name}.{inner}")))
        .collect();
    names.sort();
    names
}

#[test]
fn environment_directory_and_user_of_ctr_reach_the_module() {
    let scene = Scene::new();
    let run = scene.ctr(Kind::Wasm).flags(["--env", "A=1", "--cwd", "/data"]).run(["/world.wasm"]).exits(0);
    assert_eq!(run.value("env.A"), "1");
    assert!(run.stdout.contains("entry=greeting\n"), "{run}");
    let secret = scene.ctr(Kind::Wasm).flags(["--user", "1000"]).run(["/files.wasm", "read", "/data/secret"]);
    secret.exits(1).says_in_one_line(&["Permission denied"]);
}

#[test]
fn one_host_serves_all_of_containerd_s_namespaces() {
    let scene = Scene::new();
    let host = engine::running_host();
    let ours = scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]);
    let docker = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    assert_eq!(engine::running_host(), host);
    assert_eq!((ours.init().parent, docker.init().parent), (host.pid, host.pid));
    let shims = engine::shims();
    assert_eq!(shims.len(), 2, "{shims:?}");
}
