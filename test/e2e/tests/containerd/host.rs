//! The engine host is killed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use e2e::{Kind, Scene, engine, tracer::Tracer};

#[test]
fn containers_run_on_without_their_host() {
    let scene = Scene::new();
    let sleeping = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    let busy = scene.docker(Kind::Wasm).detach(["/busy.wasm"]);
    let (sleeping_init, busy_init) = (sleeping.says("sleeping").init(), busy.says("busy").init());
    engine::kill_hosts();
    assert!(sleeping_init.lives() && busy_init.lives());
    assert_eq!(sleeping.inspect(".State.Running"), "true");
    for container in [sleeping, busy] {
        container.stop().takes_less_than(Duration::from_millis(1500));
        assert_eq!(container.exit_code(), 143);
    }
}

#[test]
fn the_exit_code_of_a_container_without_host_is_known() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Linux).detach(["sh", "-c", "echo up; sleep 1; echo end; exit 42"]);
    container.says("up");
    engine::kill_hosts();
    assert_eq!(container.wait(), 42);
    container.logs().prints("up\nend\n");
}

#[test]
fn a_new_host_starts_with_the_next_container() {
    let scene = Scene::new();
    let old = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    let (before, socket) = (engine::running_host(), engine::socket());
    engine::kill_hosts();
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
    let after = engine::running_host();
    assert_ne!(before.pid, after.pid);
    assert_eq!(engine::socket(), socket);
    old.remove();
    assert!(after.lives(), "removing a container of the old host must not end the new one");
}

#[test]
fn a_created_container_whose_host_is_gone_starts_or_says_why_not() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    shim.create().unwrap();
    engine::kill_hosts();
    match shim.start() {
        Ok(pid) => assert!(e2e::process::Process::of(pid.cast_signed()).is_some_and(|init| init.lives())),
        Err((_, message)) => assert!(message.contains(shim.id()), "{message}"),
    }
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    shim.delete().unwrap();
}

#[test]
fn a_host_killed_again_and_again_during_creates_leaves_nothing() {
    let scene = Scene::new();
    let done = AtomicBool::new(false);
    let mut worked = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while !done.load(Ordering::Relaxed) && start.elapsed() < e2e::patient(Duration::from_secs(120)) {
                if let Some(host) = engine::host() {
                    host.kill();
                }
                thread::sleep(Duration::from_millis(70));
            }
        });
        for number in 0..50 {
            let run = scene.ctr(Kind::Wasm).run(["/exit.wasm", &number.to_string()]);
            if run.stderr.is_empty() {
                worked += 1;
                run.exits(number);
            } else {
                run.fails().says_in_one_line(&["engine"]);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{worked} of 50 containers ran");
    scene.ctr(Kind::Wasm).run(["/exit.wasm", "42"]).exits(42);
}

/// containerd asks for a deletion once, and on a busy machine a host that is killed again and again never comes to serve.
#[test]
fn a_deletion_is_done_once_a_host_lives_again() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    shim.create().unwrap();
    shim.start().unwrap();
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    engine::kill_hosts();
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                if let Some(host) = engine::host() {
                    host.kill();
                }
            }
        });
        shim.delete().unwrap();
    });
}

/// An error that nobody expects is no reason to leave the node's containers.
#[test]
fn a_host_that_cannot_read_a_signal_serves_on() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    let host = engine::running_host();
    let inject = ["-P", "anon_inode:[signalfd]", "-e", "inject=read:error=EIO:when=1..3"];
    let tracer = Tracer::attach(&host, inject);
    scene.ctr(Kind::Wasm).run(["/exit.wasm", "42"]).exits(42);
    container.stop().takes_less_than(Duration::from_millis(1500));
    assert_eq!(container.exit_code(), 143);
    assert!(tracer.detach());
    assert!(host.lives(), "{}", engine::log());
    assert!(engine::log().contains("cannot read a signal: EIO"));
}

/// A creation takes some ten directories, in cgroups, in the state and in the root: each may be the one that fails.
#[test]
fn a_creation_that_cannot_make_a_directory_leaves_none() {
    let scene = Scene::new();
    let warm = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
    warm.create().unwrap();
    let host = engine::running_host();
    let (mut failed, mut made) = (0, 0);
    for nth in 1..=25 {
        let inject = format!("inject=mkdir,mkdirat:error=EIO:when={nth}");
        let tracer = Tracer::attach(&host, ["-f", "-e", "trace=mkdir,mkdirat", "-e", &inject]);
        let shim = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]).start();
        match shim.create() {
            Ok(_) => {
                made += 1;
                shim.kill(9).unwrap();
                assert_eq!(shim.wait(), Ok(137));
                shim.delete().unwrap();
            }
            Err(_) => failed += 1,
        }
        assert!(tracer.detach());
    }
    assert!(failed > 5 && made > 0, "{failed} failed, {made} did not");
    assert!(host.lives());
    warm.delete().unwrap();
}
