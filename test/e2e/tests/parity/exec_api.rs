//! Execs by the task API, called directly.

use std::time::Duration;

use containerd_shim_protos::ttrpc::Code;
use e2e::{
    Kind, Scene, for_kinds,
    process::Process,
    shim::{Shim, Streams},
    until,
};

for_kinds! {
    an_exec_is_created_started_waited_for_and_deleted;
    an_exec_that_was_never_started_is_deleted;
    an_exec_id_is_refused_while_it_is_in_use_and_free_afterwards;
    a_running_exec_is_not_deleted;
    an_exec_that_cannot_start_can_be_deleted;
    an_exec_that_has_ended_cannot_be_killed;
    an_unknown_exec_is_not_found;
    an_exec_in_a_paused_task_is_refused;
    an_exec_in_a_task_that_has_ended_is_refused;
    an_exec_that_outlives_its_task_is_ended_with_it;
    programs_that_fork_for_ever_are_ended_with_their_task: Linux;
    waiting_for_an_exec_may_begin_at_any_time;
}

/// Numbers of `containerd.types.Status`.
const CREATED: i32 = 1;
const RUNNING: i32 = 2;
const STOPPED: i32 = 3;

/// A task that sleeps.
pub fn sleeping(scene: &Scene, kind: Kind) -> Shim {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    shim.create().unwrap();
    shim.start().unwrap();
    shim
}

/// `Exec` of a program that sleeps, without streams.
fn exec(shim: &Shim, kind: Kind, id: &str) -> Result<(), (Code, String)> {
    shim.exec(id, &shim.bundle().process(&kind.sleeper()), &Streams::default())
}

pub fn end(shim: &Shim) {
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}

fn an_exec_is_created_started_waited_for_and_deleted(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    exec(&shim, kind, "one").unwrap();
    assert_eq!(shim.state_of_exec("one").unwrap(), (0, CREATED, 0));
    let pid = shim.start_exec("one").unwrap();
    assert!(Process::of(pid.cast_signed()).is_some_and(|process| process.lives()), "there is no process {pid}");
    assert_eq!(shim.state_of_exec("one").unwrap(), (pid, RUNNING, 0));
    assert!(shim.pids().unwrap().contains(&pid));
    shim.kill_exec("one", 9).unwrap();
    assert_eq!(shim.wait_for_exec("one").unwrap(), 137);
    assert_eq!(shim.state_of_exec("one").unwrap(), (pid, STOPPED, 137));
    assert_eq!(shim.delete_exec("one").unwrap(), (pid, 137));
    assert_eq!(shim.state_of_exec("one").unwrap_err().0, Code::NOT_FOUND);
    assert_eq!(shim.state().unwrap().1, RUNNING);
    end(&shim);
}

fn an_exec_that_was_never_started_is_deleted(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    exec(&shim, kind, "one").unwrap();
    assert_eq!(shim.delete_exec("one").unwrap().0, 0);
    assert_eq!(shim.state_of_exec("one").unwrap_err().0, Code::NOT_FOUND);
    end(&shim);
}

fn an_exec_id_is_refused_while_it_is_in_use_and_free_afterwards(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    exec(&shim, kind, "one").unwrap();
    assert_eq!(exec(&shim, kind, "one").unwrap_err().0, Code::ALREADY_EXISTS);
    shim.start_exec("one").unwrap();
    assert_eq!(exec(&shim, kind, "one").unwrap_err().0, Code::ALREADY_EXISTS);
    shim.kill_exec("one", 9).unwrap();
    shim.wait_for_exec("one").unwrap();
    shim.delete_exec("one").unwrap();
    exec(&shim, kind, "one").unwrap();
    shim.delete_exec("one").unwrap();
    end(&shim);
}

fn a_running_exec_is_not_deleted(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    exec(&shim, kind, "one").unwrap();
    let pid = shim.start_exec("one").unwrap();
    shim.delete_exec("one").unwrap_err();
    assert_eq!(shim.state_of_exec("one").unwrap(), (pid, RUNNING, 0));
    end(&shim);
}

fn an_exec_that_cannot_start_can_be_deleted(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    let missing = shim.bundle().process(&["/missing.wasm"]);
    // Some things can be seen at once, others when it starts.
    if shim.exec("one", &missing, &Streams::default()).is_ok() {
        let (_, message) = shim.start_exec("one").unwrap_err();
        assert!(message.contains("/missing.wasm"), "{message}");
        shim.delete_exec("one").unwrap();
    }
    exec(&shim, kind, "one").unwrap();
    shim.start_exec("one").unwrap();
    end(&shim);
}

fn an_exec_that_has_ended_cannot_be_killed(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    exec(&shim, kind, "one").unwrap();
    shim.start_exec("one").unwrap();
    shim.kill_exec("one", 9).unwrap();
    shim.wait_for_exec("one").unwrap();
    assert_eq!(shim.kill_exec("one", 9).unwrap_err().0, Code::NOT_FOUND);
    shim.delete_exec("one").unwrap();
    end(&shim);
}

fn an_unknown_exec_is_not_found(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    for (call, failure) in [
        ("start", shim.start_exec("none").map(drop)),
        ("state", shim.state_of_exec("none").map(drop)),
        ("kill", shim.kill_exec("none", 9)),
        ("wait", shim.wait_for_exec("none").map(drop)),
        ("delete", shim.delete_exec("none").map(drop)),
        ("resize", shim.resize("none", 10, 20)),
    ] {
        let (code, message) = failure.expect_err(call);
        assert!(code == Code::NOT_FOUND, "{call}: {code:?}: {message}");
    }
    // runc's shim gives no code here.
    shim.close_stdin("none").unwrap_err();
    end(&shim);
}

fn an_exec_in_a_paused_task_is_refused(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    shim.pause().unwrap();
    let (_, message) = exec(&shim, kind, "one").unwrap_err();
    assert!(message.contains("paused"), "{message}");
    shim.resume().unwrap();
    exec(&shim, kind, "one").unwrap();
    shim.start_exec("one").unwrap();
    end(&shim);
}

fn an_exec_in_a_task_that_has_ended_is_refused(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    let (_, message) = exec(&shim, kind, "one").unwrap_err();
    assert!(message.contains("stopped"), "{message}");
    shim.delete().unwrap();
}

/// A task without a pid namespace of its own, where the kernel would end what else runs with the init.
fn in_the_node_s_pid_namespace(scene: &Scene, kind: Kind, words: &[&str]) -> Shim {
    let bundle = scene.bundle(kind, words);
    bundle.configure(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    let shim = bundle.start();
    shim.create().unwrap();
    shim.start().unwrap();
    shim
}

/// Regression test for C11: what forked during the one pass of kills outlived its container.
fn programs_that_fork_for_ever_are_ended_with_their_task(scene: &Scene, kind: Kind) {
    // Each forks the next and ends. The name is the chains' alone.
    let name = format!("chain-{}", std::process::id());
    let chain = format!("chain() {{ (chain &); }}; for n in 1 2 3; do (chain &); done; sleep 1 # {name}");
    let shim = in_the_node_s_pid_namespace(scene, kind, &["sh", "-c", &chain]);
    assert_eq!(shim.wait().unwrap(), 0);
    let left = || Process::all().iter().filter(|process| process.command.contains(&name)).count();
    assert_eq!(left(), 0, "processes are left at the exit event");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(left(), 0);
    shim.delete().unwrap();
}

fn an_exec_that_outlives_its_task_is_ended_with_it(scene: &Scene, kind: Kind) {
    let shim = in_the_node_s_pid_namespace(scene, kind, &kind.sleeper());
    exec(&shim, kind, "one").unwrap();
    let pid = shim.start_exec("one").unwrap();
    let process = Process::of(pid.cast_signed()).unwrap();
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    until("the end of the exec", || (!process.lives()).then_some(()));
    assert_eq!(shim.wait_for_exec("one").unwrap(), 137);
    shim.delete_exec("one").unwrap();
    shim.delete().unwrap();
}

fn waiting_for_an_exec_may_begin_at_any_time(scene: &Scene, kind: Kind) {
    let shim = sleeping(scene, kind);
    let words = kind.exiter(42);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    shim.exec("one", &shim.bundle().process(&words), &Streams::default()).unwrap();
    std::thread::scope(|scope| {
        let early: Vec<_> = (0..4).map(|_| scope.spawn(|| shim.wait_for_exec("one").unwrap())).collect();
        std::thread::sleep(Duration::from_millis(20));
        shim.start_exec("one").unwrap();
        for waiter in early {
            assert_eq!(waiter.join().unwrap(), 42);
        }
    });
    assert_eq!(shim.wait_for_exec("one").unwrap(), 42);
    assert_eq!(shim.delete_exec("one").unwrap().1, 42);
    end(&shim);
}
