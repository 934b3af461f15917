//! What people type: logs, exec, attach, cp, port-forward, debug.

use std::{fs, time::Duration};

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds};
use serde_json::json;

use crate::support::{hello, server, words};

for_kinds! {
    logs_are_followed;
    logs_of_the_run_before_are_kept;
    long_logs_are_whole;
    exec_passes_input_output_and_the_exit_code_on;
    exec_has_a_terminal_when_asked_for;
    what_is_missing_is_named_by_exec;
    attach_passes_input_on;
    files_are_copied_out_and_in: Linux Runc;
    a_port_is_forwarded;
    a_debug_container_sees_the_program: Wasm Linux;
    a_copy_of_a_pod_is_debugged: Wasm Linux;
    run_with_input_is_removed_at_its_end;
}

const HALF_MINUTE: Duration = Duration::from_secs(30);

fn logs_are_followed(space: &Namespace, kind: Kind) {
    let ticks = "n=0; while :; do n=$((n + 1)); echo $n; sleep 0.2; done";
    let pod = space.pod(kind, &kind.either(vec!["/ticks.wasm", "0.2"], vec!["sh", "-c", ticks])).ready();
    let mut log = space.kubectl(["logs", "--follow", &pod.name]).spawn();
    log.says("5\n");
    log.end();
    let tail = space.kubectl(["logs", "--tail=2", "--timestamps", &pod.name]).run().stdout;
    assert_eq!(tail.lines().count(), 2);
    assert!(tail.starts_with("20") && tail.contains("Z "), "{tail}");
}

fn logs_of_the_run_before_are_kept(space: &Namespace, kind: Kind) {
    let once = kind.either(vec!["/hello.wasm"], vec!["sh", "-c", "echo hello; exit 0"]);
    let pod = space.pod_with(kind, &once, |pod| pod["spec"]["restartPolicy"] = json!("Always"));
    space.wait(HALF_MINUTE, "a restart", || (pod.restarts() >= 1).then_some(()));
    let log = space.kubectl(["logs", "--previous", &pod.name]).run().stdout;
    assert!(log.contains("hello"), "{log}");
}

fn long_logs_are_whole(space: &Namespace, kind: Kind) {
    let linux = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); printf '%010d xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\\n' $i; done";
    let pod = space.pod(kind, &kind.either(vec!["/spew.wasm", "20000"], vec!["sh", "-c", linux]));
    assert_eq!(pod.ended(), 0);
    let log = pod.logs();
    let numbers: Vec<u32> = log.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    assert!(numbers.iter().copied().eq(1..=20000), "{} lines", numbers.len());
}

fn exec_passes_input_output_and_the_exit_code_on(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let finished = pod.exec(words(&kind.exiter(9))).finish();
    assert_eq!(finished.code, 9, "{finished}");
    let cat = kind.either(vec!["/cat.wasm"], vec!["cat"]);
    let input = "0123456789abcdef".repeat(64 * 1024);
    let copied = space.kubectl(["exec", "-i", &pod.name, "--"]).args(cat).input(input.clone()).run().stdout;
    assert!(copied == input, "{} bytes of {}", copied.len(), input.len());
}

fn exec_has_a_terminal_when_asked_for(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let test = kind.either(vec!["/terminal.wasm"], vec!["sh", "-c", "test -t 0 && echo stdin=true"]);
    let mut terminal = space.kubectl(["exec", "-it", &pod.name, "--"]).args(test).on_terminal();
    terminal.expect("stdin=true");
    assert_eq!(terminal.end().code, 0);
}

fn what_is_missing_is_named_by_exec(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let finished = pod.exec(["/nothing"]).finish();
    assert_ne!(finished.code, 0);
    assert!(finished.stderr.contains("/nothing") && finished.stderr.contains("no such file"), "{finished}");
}

fn attach_passes_input_on(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.echoer(), |pod| {
        pod["spec"]["containers"][0]["stdin"] = json!(true);
        pod["spec"]["containers"][0]["stdinOnce"] = json!(true);
    });
    let pod = pod.ready();
    let attached = space.kubectl(["attach", "-i", "-q", &pod.name]).input("some words\n").run();
    assert!(attached.stdout.contains("some words"), "{attached}");
    assert_eq!(pod.ended(), 0);
}

fn files_are_copied_out_and_in(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let (here, back) = (format!("/tmp/{}-in", space.name()), format!("/tmp/{}-out", space.name()));
    fs::write(&here, "some bytes").expect("writing a file");
    space.kubectl(["cp", &here, &format!("{}:/tmp/file", pod.name)]).run();
    space.kubectl(["cp", &format!("{}:/tmp/file", pod.name), &back]).run();
    assert_eq!(fs::read_to_string(&back).expect("the copy"), "some bytes");
    [here, back].iter().for_each(|path| fs::remove_file(path).expect("removing a file"));
}

fn a_port_is_forwarded(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &server(kind)).ready();
    let mut forward = space.kubectl(["port-forward", &pod.name, ":8080"]).spawn();
    forward.says("-> 8080");
    let line = forward.stdout();
    let port: u16 = line.split(':').nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a port");
    for _ in 0..40 {
        let answer = kubernetes_tests::pod::get("127.0.0.1", port, "/");
        assert!(answer.stdout.contains("hello"), "{answer}");
    }
    forward.end();
}

fn a_debug_container_sees_the_program(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let image = Kind::Linux.image();
    let program = kind.either("/sleep.wasm", "sleep");
    let script = format!("ps -o pid,args | grep -v grep | grep {program}");
    let debug = ["debug", &pod.name, "--image", image, "--image-pull-policy=Never", "--target=main", "-c", "debugger"];
    space.kubectl(debug).args(["--", "sh", "-c", &script]).run();
    space.wait(HALF_MINUTE, "its words", || {
        let log = space.kubectl(["logs", &pod.name, "-c", "debugger"]).finish().stdout;
        log.contains(program).then_some(())
    });
}

fn a_copy_of_a_pod_is_debugged(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let copy =
        ["debug", &pod.name, "--copy-to=copy", "--share-processes", "-c", "debugger", "--image-pull-policy=Never"];
    space.kubectl(copy).args(["--image", Kind::Linux.image(), "--", "sleep", "600"]).run();
    space.wait(HALF_MINUTE, "the copy", || {
        kubernetes_tests::pod::is_ready(&space.get("v1", "Pod", "copy")?).then_some(())
    });
    let seen = space.kubectl(["exec", "copy", "-c", "debugger", "--", "ps", "-o", "args"]).run().stdout;
    assert!(seen.contains(kind.either("/sleep.wasm", "sleep 600")), "{seen}");
}

fn run_with_input_is_removed_at_its_end(space: &Namespace, kind: Kind) {
    let class = format!(r#"{{"spec":{{"runtimeClassName":"{}"}}}}"#, kubernetes_tests::pod::class(kind));
    let run = ["run", "once", "-i", "--rm", "--restart=Never", "--image-pull-policy=Never", "--overrides", &class];
    let mut said = String::new();
    for words in [kind.echoer(), hello(kind)] {
        let ran =
            space.kubectl(run).args(["--image", kind.image(), "--command", "--"]).args(words).input("a line\n").run();
        said.push_str(&ran.stdout);
        space.wait(HALF_MINUTE, "its removal", || space.get("v1", "Pod", "once").is_none().then_some(()));
    }
    assert!(said.contains("a line"), "{said}");
}
