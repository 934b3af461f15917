//! containerd or a shim is killed.

use e2e::{Kind, Scene, ctr::ctr, engine, node::service, until};

fn kill_containerd() {
    service("kill", "containerd");
}

fn start_containerd() {
    service("start", "containerd");
    // Docker connects again by itself, after a pause.
    until("Docker's connection to containerd", || {
        let run = e2e::docker::docker(["run", "--rm", "--label", "e2e", "localhost/busybox", "true"]).finish();
        (run.code == 0).then_some(())
    });
}

#[test]
fn a_container_runs_on_while_containerd_is_killed_and_started_again() {
    let scene = Scene::new();
    let wasm = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "4"]);
    let script = "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 0.5; done; exit 7";
    let linux = scene.docker(Kind::Linux).detach(["sh", "-c", script]);
    wasm.says("sleeping");
    linux.says("line 1");
    let (wasm_init, linux_init) = (wasm.init(), linux.init());
    kill_containerd();
    assert!(wasm_init.lives() && linux_init.lives());
    start_containerd();
    assert_eq!((wasm.wait(), linux.wait()), (0, 7));
    wasm.logs().prints("sleeping\nawake\n");
    let expected: String = (1..=8).map(|number| format!("line {number}\n")).collect();
    linux.logs().prints(&expected);
}

#[test]
fn a_task_is_the_same_after_containerd_was_killed() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]);
    let (init, shims) = (task.init(), engine::shims());
    kill_containerd();
    start_containerd();
    assert_eq!(task.state(), Some((init.pid, "RUNNING".into())));
    assert!(init.lives() && engine::shims() == shims);
    task.kill("TERM");
    task.stopped();
    assert_eq!(task.delete(), 143);
    task.remove();
}

#[test]
fn a_task_that_ends_while_containerd_is_away_is_gone_afterwards_as_under_runc() {
    let scene = Scene::new();
    for (kind, words) in
        [(Kind::Runc, ["sleep", "1"]), (Kind::Linux, ["sleep", "1"]), (Kind::Wasm, ["/sleep.wasm", "1"])]
    {
        let task = scene.ctr(kind).start(words);
        let init = task.init();
        kill_containerd();
        until("the end of the container", || (!init.lives()).then_some(()));
        start_containerd();
        // containerd deletes what it finds stopped when it starts (its runtime-v2 task manager, loadShims).
        until(&format!("the end of the {kind:?} task"), || task.state().is_none().then_some(()));
        task.start();
        ctr(["task", "delete", "--force", &task.id]).finish();
        task.remove();
    }
}

#[test]
fn containerd_removes_what_a_killed_shim_leaves() {
    let scene = Scene::new();
    for (kind, words) in [(Kind::Wasm, ["/sleep.wasm", "600"]), (Kind::Linux, ["sleep", "600"])] {
        let task = scene.ctr(kind).start(words);
        let (init, shims) = (task.init(), engine::shims());
        shims.iter().for_each(|shim| shim.kill());
        until("the end of the task", || task.state().is_none().then_some(()));
        until("the end of the container", || (!init.lives()).then_some(()));
        // containerd has the last word on when the old task is forgotten, a moment after its end.
        until("a new task", || task.start_if_free().then_some(()));
        assert_eq!(task.state().unwrap().1, "RUNNING");
        ctr(["task", "delete", "--force", &task.id]).finish();
        task.remove();
    }
}

#[test]
fn docker_notices_a_killed_shim() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    engine::shims().iter().for_each(|shim| shim.kill());
    assert_eq!(container.wait(), 137);
    container.docker(["start"]);
    assert_eq!(container.inspect(".State.Running"), "true");
}

#[test]
fn a_shim_killed_after_the_end_of_its_container_does_not_hide_the_exit_code() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).start(["/exit.wasm", "42"]);
    task.stopped();
    engine::shims().iter().for_each(|shim| shim.kill());
    until("the end of the task", || task.state().is_none().then_some(()));
}

#[test]
fn shim_host_and_containerd_may_all_be_killed_at_once() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Wasm).start(["/sleep.wasm", "600"]);
    kill_containerd();
    engine::shims().iter().for_each(|shim| shim.kill());
    engine::kill_hosts();
    start_containerd();
    until("the end of the task", || task.state().is_none().then_some(()));
    scene.ctr(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}
