//! The task API of a shim, called directly.

use containerd_shim_protos::{
    api::{ConnectRequest, PidsRequest, StatsRequest},
    ttrpc::Code,
};
use e2e::{Kind, Scene, process::Process, shim::context};

/// Numbers of `containerd.types.Status`.
const CREATED: i32 = 1;
const RUNNING: i32 = 2;
const STOPPED: i32 = 3;

const SLEEP: [(Kind, [&str; 2]); 2] = [(Kind::Wasm, ["/sleep.wasm", "600"]), (Kind::Linux, ["sleep", "600"])];

#[test]
fn create_connect_and_state_tell_the_same_pid_before_the_start() {
    let scene = Scene::new();
    for (kind, words) in SLEEP {
        let shim = scene.bundle(kind, &words).start();
        let pid = shim.create().unwrap().pid;
        assert!(Process::of(pid.cast_signed()).is_some_and(|init| init.lives()), "there is no process {pid}");
        assert_eq!(shim.state().unwrap(), (pid, CREATED, 0));
        let request = ConnectRequest { id: shim.id().into(), ..Default::default() };
        let connected = shim.client.connect(context(), &request).unwrap();
        assert_eq!(connected.task_pid, pid);
        let shim_process = Process::of(connected.shim_pid.cast_signed()).unwrap();
        assert!(shim_process.command.contains("containerd-shim-wasmedge-v1"), "{shim_process:?}");
        assert_eq!(shim.start().unwrap(), pid);
        assert_eq!(shim.state().unwrap(), (pid, RUNNING, 0));
        shim.kill(9).unwrap();
        assert_eq!(shim.wait().unwrap(), 137);
        assert_eq!(shim.state().unwrap(), (pid, STOPPED, 137));
        assert_eq!(shim.delete().unwrap(), (pid, 137));
    }
}

#[test]
fn a_task_that_was_never_started_is_deleted_with_its_process() {
    let scene = Scene::new();
    for (kind, words) in SLEEP {
        let shim = scene.bundle(kind, &words).start();
        let pid = shim.create().unwrap().pid;
        let init = Process::of(pid.cast_signed()).unwrap();
        let (deleted, _) = shim.delete().unwrap();
        assert_eq!(deleted, pid);
        assert!(!init.lives(), "{init:?}");
        assert_eq!(shim.state().unwrap_err().0, Code::NOT_FOUND);
    }
}

#[test]
fn a_task_that_was_never_started_can_be_killed_and_waited_for() {
    let scene = Scene::new();
    for (kind, words) in SLEEP {
        let shim = scene.bundle(kind, &words).start();
        shim.create().unwrap();
        shim.kill(9).unwrap();
        assert_eq!(shim.wait().unwrap(), 137);
        assert_eq!(shim.delete().unwrap().1, 137);
    }
}

#[test]
fn calls_out_of_turn_are_refused_with_the_codes_that_containerd_knows() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    assert_eq!(shim.start().unwrap_err().0, Code::NOT_FOUND);
    assert_eq!(shim.delete().unwrap_err().0, Code::NOT_FOUND);
    shim.create().unwrap();
    assert_eq!(shim.create().unwrap_err().0, Code::ALREADY_EXISTS);
    shim.start().unwrap();
    assert_eq!(shim.start().unwrap_err().0, Code::FAILED_PRECONDITION);
    assert_eq!(shim.delete().unwrap_err().0, Code::FAILED_PRECONDITION);
    assert_eq!(shim.kill(0x7fff_ffff).unwrap_err().0, Code::INVALID_ARGUMENT);
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    assert_eq!(shim.kill(9).unwrap_err().0, Code::NOT_FOUND);
    shim.delete().unwrap();
    assert_eq!(shim.state().unwrap_err().0, Code::NOT_FOUND);
}

#[test]
fn waiting_may_begin_at_any_time() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/exit.wasm", "42"]).start();
    shim.create().unwrap();
    std::thread::scope(|scope| {
        let early: Vec<_> = (0..4).map(|_| scope.spawn(|| shim.wait().unwrap())).collect();
        shim.start().unwrap();
        for waiter in early {
            assert_eq!(waiter.join().unwrap(), 42);
        }
    });
    assert_eq!(shim.wait().unwrap(), 42);
    shim.delete().unwrap();
}

#[test]
fn pids_and_stats_answer_before_and_after_the_start() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    let pid = shim.create().unwrap().pid;
    let check = || {
        let request = PidsRequest { id: shim.id().into(), ..Default::default() };
        let processes = shim.client.pids(context(), &request).unwrap().processes;
        assert_eq!(processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [pid]);
        let request = StatsRequest { id: shim.id().into(), ..Default::default() };
        let stats = shim.client.stats(context(), &request).unwrap().stats.unwrap();
        let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let expected = if unified { "io.containerd.cgroups.v2.Metrics" } else { "io.containerd.cgroups.v1.Metrics" };
        assert!(stats.type_url.ends_with(expected) && !stats.value.is_empty(), "{stats:?}");
    };
    check();
    shim.start().unwrap();
    check();
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}

#[test]
fn delete_as_a_command_cleans_up_after_a_killed_shim() {
    let scene = Scene::new();
    for (kind, words) in SLEEP {
        let shim = scene.bundle(kind, &words).start();
        let pid = shim.create().unwrap().pid;
        shim.start().unwrap();
        let init = Process::of(pid.cast_signed()).unwrap();
        e2e::engine::shims().iter().for_each(|shim| shim.kill());
        shim.clean_up();
        assert!(!init.lives(), "{init:?}");
        // What is gone already is no error: containerd may call it again.
        shim.clean_up();
    }
}

#[test]
fn a_configuration_that_vanishes_is_named() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/hello.wasm"]).start();
    let config = shim.bundle().path("config.json");
    std::fs::remove_file(&config).unwrap();
    let (_, message) = shim.create().unwrap_err();
    assert!(message.contains(&config.display().to_string()) && message.contains("No such file"), "{message}");
    assert!(!message.contains('\n'), "{message:?}");
}

#[test]
fn no_shim_is_started_without_a_configuration() {
    let scene = Scene::new();
    for text in [None, Some(""), Some("no JSON"), Some("{\"annotations\": 3}")] {
        let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
        let config = bundle.path("config.json");
        std::fs::remove_file(&config).unwrap();
        if let Some(text) = text {
            std::fs::write(&config, text).unwrap();
        }
        let start = bundle.shim_command("start").finish().fails();
        assert_eq!(start.stderr.lines().count(), 1, "{start}");
        let start = start.says_in_one_line(&["config.json"]);
        assert!(!start.stderr.contains("Err"), "not for people: {start}");
    }
}

#[test]
fn a_bundle_that_vanishes_is_refused_by_name() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
    let directory = bundle.path("");
    let shim = bundle.start();
    std::fs::remove_dir_all(&directory).unwrap();
    let (_, message) = shim.create().unwrap_err();
    assert!(message.contains(directory.to_str().unwrap().trim_end_matches('/')), "{message}");
    std::fs::create_dir(&directory).unwrap();
}

#[test]
fn a_bundle_without_root_file_system_is_refused_by_name() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
    let root = bundle.path("rootfs");
    std::fs::remove_dir_all(&root).unwrap();
    let shim = bundle.start();
    let (_, message) = shim.create().unwrap_err();
    assert!(message.contains(root.to_str().unwrap()) || message.contains("rootfs"), "{message}");
}

#[test]
fn a_configuration_that_says_nothing_is_refused() {
    let scene = Scene::new();
    for (text, cause) in [("{}", "the spec has no"), ("{\"root\": 1}", "config.json"), ("no JSON", "config.json")] {
        let shim = scene.bundle(Kind::Wasm, &["/hello.wasm"]).start();
        std::fs::write(shim.bundle().path("config.json"), text).unwrap();
        let (_, message) = shim.create().unwrap_err();
        assert!(message.contains(cause) && !message.contains('\n'), "{text:?}: {message:?}");
    }
}

#[test]
fn a_process_without_arguments_is_refused() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &[]).start();
    let (_, message) = shim.create().unwrap_err();
    assert!(message.contains("args"), "{message}");
}
