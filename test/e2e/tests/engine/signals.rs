//! Signals that a module reads: `io.wasmedge.signals`.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use e2e::{
    Kind, Scene,
    command::read,
    cri::crictl,
    ctr::{self, Task, ctr},
    docker::{Container, docker},
    until,
};
use serde_json::json;

use super::{annotated, with_options};

/// The command line's time comes on top.
const PROMPT: Duration = Duration::from_secs(3);

#[test]
fn a_module_reads_its_signals_one_by_one_and_leaves_as_it_likes() {
    let scene = Scene::new();
    for way in [&["/signals.wasm"][..], &["/signals.wasm", "poll"]] {
        let container = annotated(&scene, &["signals=TERM,SIGHUP,SIGRTMIN+3"]).detach(way.iter().copied());
        container.says("waiting");
        for (signal, number) in [("HUP", 1), ("RTMIN+3", 37), ("HUP", 1)] {
            container.kill(signal);
            container.says(&format!("signal {number}\n"));
        }
        container.stop().takes_less_than(PROMPT);
        assert_eq!(container.exit_code(), 7, "{}", container.logs());
        assert_eq!(container.logs().stdout, "waiting\nsignal 1\nsignal 37\nsignal 1\nsignal 15\n");
        container.remove();
    }
}

#[test]
fn without_the_annotation_there_is_nothing_to_read() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).run(["/signals.wasm"]).exits(0).prints("no signals\n");
    // Nor does an image pretend that there is.
    let pretending = scene.docker(Kind::Wasm).flags(["-e", "WASMEDGE_SIGNAL_FD=0"]);
    pretending.input("").run(["/signals.wasm"]).fails();
    let named = annotated(&scene, &["signals=TERM"]).flags(["-e", "WASMEDGE_SIGNAL_FD=0"]).detach(["/signals.wasm"]);
    named.says("waiting").stop().takes_less_than(PROMPT);
    assert_eq!(named.exit_code(), 7);
}

#[test]
fn other_signals_end_it_at_once_as_ever() {
    let scene = Scene::new();
    let container = annotated(&scene, &["signals=HUP"]).detach(["/signals.wasm"]);
    container.says("waiting").stop().takes_less_than(PROMPT);
    assert_eq!(container.exit_code(), 143);
}

#[test]
fn what_does_not_read_them_ends_after_the_grace_period() {
    let scene = Scene::new();
    for module in ["/sleep.wasm", "/endless-loop.wasm"] {
        let container = annotated(&scene, &["signals=TERM"]).detach([module, "600"]);
        let stopped = container.docker(["stop", "-t", "1"]);
        assert!(stopped.took >= Duration::from_secs(1), "{stopped}");
        stopped.takes_less_than(Duration::from_secs(1) + PROMPT);
        assert_eq!(container.exit_code(), 137, "{module}");
        container.remove();
    }
}

/// A task whose output is in a file; it has said `waiting`.
fn waiting(scene: &Scene, run: &ctr::Run) -> (Task, PathBuf) {
    let (task, log) = (run.create(["/signals.wasm"]), scene.directory().join(scene.name()));
    task.start_with_log(&log);
    until("its first word", || read(&log).contains("waiting").then_some(()));
    (task, log)
}

#[test]
fn each_program_of_a_container_reads_its_own() {
    let scene = Scene::new();
    let (task, log) = waiting(&scene, &scene.ctr(Kind::Wasm).flags(["--annotation=io.wasmedge.signals=TERM,HUP"]));
    let mut other = task.exec_as("other", &[], ["/signals.wasm", "poll"]).spawn();
    other.says("waiting");
    for signal in ["SIGHUP", "SIGTERM"] {
        ctr(["task", "kill", "--exec-id", "other", "-s", signal, &task.id]).run();
    }
    assert!(other.wait(Duration::from_secs(10)), "it goes on");
    other.end().exits(7).prints("waiting\nsignal 1\nsignal 15\n");
    assert_eq!(task.state().map(|(_, state)| state).as_deref(), Some("RUNNING"));
    task.kill("SIGTERM");
    task.stopped();
    assert_eq!(task.delete(), 7);
    assert_eq!(read(&log), "waiting\nsignal 15\n");
}

#[test]
fn the_runtime_s_option_holds_for_all_and_an_annotation_chooses() {
    let scene = Scene::new();
    let options = "[engine]\nsignals = [\"SIGTERM\"]\n";
    let (task, _) = waiting(&scene, &with_options(&scene, options, &[]));
    task.kill("SIGTERM");
    task.stopped();
    assert_eq!(task.delete(), 7);
    with_options(&scene, options, &["signals=none"]).run(["/signals.wasm"]).exits(0).prints("no signals\n");
}

#[test]
fn what_nobody_can_read_is_refused_by_name() {
    let scene = Scene::new();
    for wrong in ["KILL", "SIGTERM,SIGSEGV", "15"] {
        let refused = annotated(&scene, &[&format!("signals={wrong}")]).run(["/signals.wasm"]).fails();
        refused.says_in_one_line(&["io.wasmedge.signals", "such as SIGTERM", &format!("not {wrong:?}")]);
    }
    let refused = with_options(&scene, "[engine]\nsignals = [\"SIGKILL\"]\n", &[]).run(["/signals.wasm"]).fails();
    assert!(refused.stderr.contains("engine.signals") && refused.stderr.contains("SIGKILL"), "{refused}");
}

#[test]
fn a_pod_s_container_is_asked_to_leave_and_does() {
    let scene = Scene::new();
    let pod = scene.pod_with(Kind::Wasm, |pod| pod["annotations"] = json!({ "io.wasmedge.signals": "SIGTERM" }));
    let container = pod.container(Kind::Wasm, &["/signals.wasm"]);
    until("its first word", || container.logs().stdout.contains("waiting").then_some(()));
    crictl(["stop", "--timeout", "10", &container.id]).run().takes_less_than(PROMPT);
    assert_eq!(container.status()["exitCode"], 7);
}

/// A server of examples/graceful, with its address.
fn server(scene: &Scene, annotations: &[&str]) -> (Container, String) {
    let container = annotated(scene, annotations).detach(["/graceful.wasm", "8080"]);
    container.says("listening on 8080");
    let address = format!("{}:8080", container.address());
    (container, address)
}

/// A request of which only the first half has been sent.
fn begin(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(e2e::patient(Duration::from_secs(10)))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    stream
}

/// Sends the second half; whether the answer has come as a whole.
fn finish(mut stream: TcpStream) -> bool {
    let mut answer = String::new();
    let sent = stream.write_all(b"example\r\nConnection: close\r\n\r\n");
    sent.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains("served by ")
}

/// Replaces a server three times, with eight requests under way each time; how many of them were answered.
fn rolling_restart(scene: &Scene, annotations: &[&str]) -> usize {
    let (mut old, mut address) = server(scene, annotations);
    let mut answered = 0;
    for _ in 0..3 {
        let requests: Vec<_> = (0..8).map(|_| begin(&address)).collect();
        // As in a cluster: the new one is there, connections go to it, then the old one is told to leave.
        let (new, new_address) = server(scene, annotations);
        let server = old.init();
        let mut stop = docker(["stop", &old.name]).spawn();
        // One that reads its signals waits for its requests; the other is gone at once.
        match annotations.is_empty() {
            true => until("the server's end", || (!server.lives()).then_some(())),
            false => std::thread::sleep(Duration::from_millis(300)),
        }
        answered += requests.into_iter().map(finish).filter(|answered| *answered).count();
        assert!(stop.wait(PROMPT), "{} does not leave", old.name);
        stop.end().exits(0);
        answered += usize::from(finish(begin(&new_address)));
        old.remove();
        (old, address) = (new, new_address);
    }
    answered
}

#[test]
fn a_rolling_restart_loses_no_request() {
    let scene = Scene::new();
    assert_eq!(rolling_restart(&scene, &["signals=SIGTERM"]), 3 * 9);
}

/// What the annotation is for.
#[test]
fn without_the_annotation_a_rolling_restart_cuts_requests() {
    let scene = Scene::new();
    assert_eq!(rolling_restart(&scene, &[]), 3);
}
