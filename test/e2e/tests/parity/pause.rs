//! `docker pause` and `docker unpause`.

use std::{thread::sleep, time::Duration};

use e2e::{
    Kind, Scene,
    ctr::ctr,
    docker::docker,
    events::{Listener, plain},
    for_kinds, until,
};

for_kinds! {
    a_paused_container_is_shown_as_paused_and_goes_on_later;
    a_paused_container_does_not_compute;
    an_exec_in_a_paused_container_does_not_compute;
    a_program_that_sleeps_goes_on_sleeping_after_a_pause;
    an_exec_in_a_paused_container_is_refused;
    a_paused_container_is_killed;
    a_paused_container_is_stopped;
    a_paused_container_is_removed_by_force;
    ctr_pauses_and_resumes_a_task;
    the_events_of_a_pause_are_those_under_runc;
    a_paused_task_is_killed_by_the_task_api;
    a_paused_task_is_not_deleted;
    only_a_running_task_is_paused_and_only_a_paused_one_resumed;
}

/// Number of `containerd.types.Status`.
const PAUSED: i32 = 4;

/// Words of a program that says `busy` and computes.
fn busy(kind: Kind) -> Vec<&'static str> {
    kind.either(vec!["/busy.wasm"], vec!["sh", "-c", "echo busy; while :; do :; done"])
}

fn a_paused_container_is_shown_as_paused_and_goes_on_later(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let init = container.init();
    container.docker(["pause"]);
    assert_eq!(container.inspect(".State.Status"), "paused");
    container.docker(["unpause"]);
    assert_eq!(container.inspect(".State.Status"), "running");
    assert!(init.lives());
}

fn a_paused_container_does_not_compute(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).detach(busy(kind));
    let init = container.says("busy").init();
    container.docker(["pause"]);
    let before = init.processor_time();
    sleep(Duration::from_millis(200));
    assert_eq!(init.processor_time(), before, "processor time while paused");
    container.docker(["unpause"]);
    until("more processor time", || (init.processor_time() > before).then_some(()));
}

fn an_exec_in_a_paused_container_does_not_compute(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let mut exec = container.exec(&[], busy(kind)).spawn();
    exec.says("busy");
    let init = container.init();
    let process =
        container.processes().into_iter().find(|process| process.pid != init.pid).expect("the exec's process");
    container.docker(["pause"]);
    let before = process.processor_time();
    sleep(Duration::from_millis(200));
    assert_eq!(process.processor_time(), before, "processor time while paused");
    container.docker(["unpause"]);
    until("more processor time", || (process.processor_time() > before).then_some(()));
}

fn a_program_that_sleeps_goes_on_sleeping_after_a_pause(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/sleep.wasm", "1.5"], vec!["sh", "-c", "echo sleeping; sleep 1.5; echo awake"]);
    let container = scene.docker(kind).detach(words);
    container.says("sleeping").docker(["pause"]);
    sleep(Duration::from_millis(1700));
    container.logs().prints("sleeping\n");
    container.docker(["unpause"]);
    assert_eq!(container.wait(), 0);
    container.logs().prints("sleeping\nawake\n");
}

fn an_exec_in_a_paused_container_is_refused(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    container.docker(["pause"]);
    container.exec(&[], kind.exiter(0)).finish().exits(1).says_in_one_line(&["is paused"]);
    container.docker(["unpause"]);
    container.exec(&[], kind.exiter(0)).finish().exits(0);
}

fn a_paused_container_is_killed(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    container.docker(["pause"]);
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
}

fn a_paused_container_is_stopped(scene: &Scene, kind: Kind) {
    let words = kind.either(
        vec!["/sleep.wasm", "600"],
        vec!["sh", "-c", "trap 'exit 143' TERM; echo sleeping; while :; do sleep 0.1; done"],
    );
    let container = scene.docker(kind).detach(words);
    container.says("sleeping").docker(["pause"]);
    container.stop().takes_less_than(Duration::from_secs(5));
    assert_eq!(container.exit_code(), 143);
}

fn a_paused_container_is_removed_by_force(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    container.docker(["pause"]);
    container.remove();
    docker(["inspect", &container.name]).finish().fails();
}

fn ctr_pauses_and_resumes_a_task(scene: &Scene, kind: Kind) {
    let task = scene.ctr(kind).start(kind.sleeper());
    ctr(["task", "pause", &task.id]).run();
    assert_eq!(task.state().unwrap().1, "PAUSED");
    ctr(["task", "resume", &task.id]).run();
    assert_eq!(task.state().unwrap().1, "RUNNING");
    ctr(["task", "pause", &task.id]).run();
    task.kill("KILL");
    task.stopped();
    assert_eq!(task.delete(), 137);
}

fn the_events_of_a_pause_are_those_under_runc(scene: &Scene, kind: Kind) {
    e2e::expect_as_under_runc(kind, |kind| {
        let task = scene.ctr(kind).start(kind.sleeper());
        let mut listener = Listener::start();
        ctr(["task", "pause", &task.id]).run();
        ctr(["task", "resume", &task.id]).run();
        assert!(listener.hears("/tasks/resumed"), "no event tells of the resumed task");
        plain(&listener.end(), &task.id)
    });
}

fn a_paused_task_is_killed_by_the_task_api(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    shim.pause().unwrap();
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    shim.delete().unwrap();
}

fn a_paused_task_is_not_deleted(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    shim.pause().unwrap();
    assert_eq!(shim.state().unwrap().1, PAUSED);
    shim.delete().unwrap_err();
    assert_eq!(shim.state().unwrap().1, PAUSED);
    shim.resume().unwrap();
    super::exec_api::end(&shim);
}

fn only_a_running_task_is_paused_and_only_a_paused_one_resumed(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    shim.resume().unwrap_err();
    shim.pause().unwrap();
    shim.pause().unwrap_err();
    shim.resume().unwrap();
    shim.resume().unwrap_err();
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.pause().unwrap_err();
    shim.delete().unwrap();
}
