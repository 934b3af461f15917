//! Callers that give up: at their deadline, or because they end.

use std::thread;

use e2e::{Kind, Scene, engine, for_kinds, process::Process, shim::Shim, until};

use super::{CREATED, Hasty, PAUSED, RUNNING, STOPPED, slow_logger};

for_kinds! {
    a_create_whose_caller_gave_up_is_there_afterwards: Wasm Linux;
    a_start_whose_caller_gave_up_is_there_afterwards: Wasm Linux;
    a_program_is_started_once_however_often_its_callers_give_up: Linux;
    nothing_is_left_when_all_callers_of_a_container_gave_up: Wasm Linux;
    an_end_while_the_terminal_is_attached_is_told: Wasm Linux;
    the_end_of_a_program_while_its_terminal_is_attached_is_told: Linux;
    a_killed_program_thaws_nothing: Linux Runc;
}

/// Regression test for C1: the name stayed reserved, and the init was left.
fn a_create_whose_caller_gave_up_is_there_afterwards(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    let host = engine::running_host();
    let stopped = host.stop();
    Hasty(&shim).create();
    drop(stopped);
    let (pid, _, _) = until("the container", || shim.state().ok().filter(|state| state.1 == CREATED));
    assert_eq!(shim.start().unwrap(), pid);
    end(&shim);
}

/// Regression test for C1: the state stayed `CREATED`.
fn a_start_whose_caller_gave_up_is_there_afterwards(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    let pid = shim.create().unwrap().pid;
    let host = engine::running_host();
    let stopped = host.stop();
    Hasty(&shim).start("");
    drop(stopped);
    until("the start", || (shim.state() == Ok((pid, RUNNING, 0))).then_some(()));
    end(&shim);
}

/// Regression test for C1: each call started one, and nobody knew of those before the last.
fn a_program_is_started_once_however_often_its_callers_give_up(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    shim.create().unwrap();
    shim.start().unwrap();
    shim.exec("one", &shim.bundle().process(&["sleep", "777"]), &Default::default()).unwrap();
    let host = engine::running_host();
    let stopped = host.stop();
    for _ in 0..3 {
        Hasty(&shim).start("one");
    }
    drop(stopped);
    let (pid, _, _) = until("the program", || shim.state_of_exec("one").ok().filter(|state| state.1 == RUNNING));
    // What the later calls ask for would come after it.
    let again = shim.start_exec("one").unwrap_err().1;
    assert!(again.contains("running process"), "{again}");
    let all = || Process::all().into_iter().filter(|process| process.command == "sleep 777").map(|process| process.pid);
    assert_eq!(all().collect::<Vec<_>>(), [pid.cast_signed()]);
    shim.kill_exec("one", 9).unwrap();
    assert_eq!(shim.wait_for_exec("one").unwrap(), 137);
    shim.delete_exec("one").unwrap();
    end(&shim);
}

/// Regression test for C1: a shim and an init were left by each container that took too long.
fn nothing_is_left_when_all_callers_of_a_container_gave_up(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    let host = engine::running_host();
    let stopped = host.stop();
    // What containerd does when a creation takes too long.
    Hasty(&shim).create();
    Hasty(&shim).delete();
    Hasty(&shim).shut_down();
    drop(stopped);
    until("the end of the shim", || engine::shims().is_empty().then_some(()));
    // That no init is left the scene finds out.
}

fn end(shim: &Shim) {
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    shim.delete().unwrap();
}

/// The container's processes, by its cgroup.
fn members(id: &str) -> Vec<Process> {
    let paths = ["/sys/fs/cgroup/freezer/default", "/sys/fs/cgroup/default"];
    let text = paths.iter().find_map(|path| std::fs::read_to_string(format!("{path}/{id}/cgroup.procs")).ok());
    text.unwrap_or_default().lines().filter_map(|pid| Process::of(pid.parse().ok()?)).collect()
}

/// Regression test for C6: the task stayed `CREATED`, and its deletion waited for ever.
fn an_end_while_the_terminal_is_attached_is_told(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &kind.sleeper());
    bundle.configure(|spec| spec["process"]["terminal"] = true.into());
    let shim = bundle.start();
    let mut streams = slow_logger(scene, 3);
    streams.terminal = true;
    thread::scope(|scope| {
        let create = scope.spawn(|| shim.create_on(&streams));
        // Not a process that is on its way to become it: the logger is started afterwards.
        until("the logger", || Process::all().iter().any(|one| one.command.contains("logger-3")).then_some(()));
        members(shim.id()).iter().for_each(Process::kill);
        let pid = create.join().unwrap().unwrap().pid;
        until("the end", || (shim.state() == Ok((pid, STOPPED, 137))).then_some(()));
    });
    let failure = shim.start().unwrap_err().1;
    assert!(failure.contains("cannot start a stopped process"), "{failure}");
    super::quick("the deletion", || shim.delete().unwrap());
}

/// Regression test for C6.
fn the_end_of_a_program_while_its_terminal_is_attached_is_told(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    shim.create().unwrap();
    shim.start().unwrap();
    let mut streams = slow_logger(scene, 3);
    streams.terminal = true;
    let mut process = shim.bundle().process(&["sleep", "778"]);
    process["terminal"] = true.into();
    shim.exec("one", &process, &streams).unwrap();
    thread::scope(|scope| {
        let start = scope.spawn(|| shim.start_exec("one"));
        let is_it = |process: &Process| process.command == "sleep 778";
        until("the program", || Process::all().into_iter().find(is_it)).kill();
        let pid = start.join().unwrap().unwrap();
        until("the end", || (shim.state_of_exec("one") == Ok((pid, STOPPED, 137))).then_some(()));
    });
    super::quick("the deletion", || shim.delete_exec("one").unwrap());
    end(&shim);
}

/// Regression test for C8: the whole container ran on, and was told to be paused.
fn a_killed_program_thaws_nothing(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &["sh", "-c", "while :; do :; done"]).start();
    let pid = shim.create().unwrap().pid;
    shim.start().unwrap();
    shim.exec("one", &shim.bundle().process(&["sleep", "779"]), &Default::default()).unwrap();
    shim.start_exec("one").unwrap();
    shim.pause().unwrap();
    let init = Process::of(pid.cast_signed()).unwrap();
    let before = init.processor_time();
    shim.kill_exec("one", 9).unwrap();
    thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(init.processor_time(), before, "processor time while paused");
    assert_eq!(shim.state().unwrap().1, PAUSED);
    shim.resume().unwrap();
    assert_eq!(shim.wait_for_exec("one").unwrap(), 137);
    shim.delete_exec("one").unwrap();
    end(&shim);
}
