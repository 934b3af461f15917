//! The shim's limit on descriptors.

use std::fs;

use e2e::{Kind, Scene, command, engine, process::Process, shim::Streams, until};

use super::{RUNNING, member, program};

/// Soft and hard limit on descriptors.
fn limits(process: &Process) -> (String, String) {
    let text = e2e::command::read(process.file("limits"));
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    (words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// Regression test for C2: containerd's children begin with a soft limit of 1024.
#[test]
fn a_shim_may_have_as_many_descriptors_as_the_node_allows_and_its_loggers_what_it_was_given() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
    let seen = scene.directory().join("limit");
    let logger = scene.directory().join("logger");
    program(&logger, &format!("ulimit -Sn >{}; exec 5>&-; exec cat <&3", seen.display()));
    let shim = bundle.start_with(|command| command.through(["bash", "-c", "ulimit -Sn 512; exec \"$@\"", "bash"]));
    let (soft, hard) = limits(&engine::shims()[0]);
    assert_ne!(hard, "512");
    assert_eq!(soft, hard);
    shim.create_on(&Streams { stdout: format!("binary://{}", logger.display()), ..Streams::default() }).unwrap();
    assert_eq!(fs::read_to_string(seen).unwrap(), "512\n");
    shim.delete().unwrap();
}

/// Regression test for C4: the connection was given up, and with it, at the next deletion, the other containers.
#[test]
fn a_shim_without_room_for_a_program_s_descriptor_loses_that_program_only() {
    let scene = Scene::new();
    let group = scene.name();
    let one = member(&scene, Kind::Linux, &group).start();
    one.create().unwrap();
    let init = one.start().unwrap();
    let other = member(&scene, Kind::Linux, &group).start();
    other.create().unwrap();
    other.start().unwrap();
    let shim = engine::shims().into_iter().next().expect("the shim");
    let limit = |limit: &str| command("prlimit").args(["--pid", &shim.pid.to_string(), &format!("--nofile={limit}")]);
    let streams = Streams { stdout: format!("file://{}/out", scene.directory().display()), ..Streams::default() };
    let causes: Vec<_> = (0..12)
        .map(|room| {
            let exec = format!("exec-{room}");
            one.exec(&exec, &one.bundle().process(&["sleep", "780"]), &streams).unwrap();
            // The limit is one of numbers: so many below it are free.
            let used: Vec<_> = shim.descriptors().into_iter().map(|(fd, _)| fd).collect();
            let lowest = (0..).filter(|fd| !used.contains(fd)).nth(room).expect("a free number");
            limit(&format!("{lowest}:")).run();
            let started = one.start_exec(&exec);
            limit("4096:").run();
            if started.is_ok() {
                one.kill_exec(&exec, 9).unwrap();
                one.wait_for_exec(&exec).unwrap();
            }
            one.delete_exec(&exec).unwrap();
            started.map_or_else(|(_, message)| message, |_| "started".into())
        })
        .collect();
    assert!(causes.iter().any(|cause| cause.contains("has no room for the file descriptors")), "{causes:#?}");
    assert_eq!(causes.last().map(String::as_str), Some("started"), "{causes:#?}");
    assert!(causes.iter().all(|cause| !cause.contains("ended")), "{causes:#?}");
    until("the end of all programs", || {
        Process::all().iter().all(|process| process.command != "sleep 780").then_some(())
    });
    other.kill(9).unwrap();
    other.wait().unwrap();
    other.delete().unwrap();
    assert_eq!(one.state().unwrap(), (init, RUNNING, 0));
    assert!(Process::of(init.cast_signed()).is_some_and(|init| init.lives()));
    one.kill(9).unwrap();
    one.wait().unwrap();
    one.delete().unwrap();
}
