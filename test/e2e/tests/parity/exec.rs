//! `docker exec` and what containerd's clients do of the same.

use std::{os::unix::fs::MetadataExt, time::Duration};

use e2e::{Kind, Scene, docker::Container, for_kinds, until};

for_kinds! {
    an_exec_passes_on_both_streams_and_the_exit_code;
    an_exec_reads_standard_input_to_its_end;
    an_exec_gets_the_environment_of_the_container_and_its_own;
    an_exec_begins_in_the_directory_asked_for;
    an_exec_runs_as_the_user_asked_for;
    an_exec_runs_as_the_user_of_the_container_otherwise;
    an_exec_sees_the_files_of_the_container;
    an_exec_of_a_linux_program_works;
    an_exec_of_a_module_works: Wasm Linux;
    an_exec_of_another_export_works: Wasm Linux;
    an_exec_of_a_missing_program_has_exit_code_127;
    an_exec_of_what_is_not_executable_has_exit_code_126;
    an_exec_of_a_broken_module_says_why: Wasm Linux;
    an_exec_that_traps_leaves_the_container_alone: Wasm Linux;
    an_exec_in_a_container_that_has_ended_is_refused;
    an_exec_in_the_background_goes_on_by_itself;
    an_exec_ends_with_its_container;
    an_exec_s_end_leaves_the_container_running;
    twenty_execs_at_once_all_work;
    long_output_of_an_exec_is_complete;
}

/// A container with the programs of both kinds, whose own sleeps.
pub fn container(scene: &Scene, kind: Kind) -> Container {
    let container = scene.docker(kind).image("both").detach(kind.sleeper());
    container.says("sleeping");
    container
}

fn an_exec_passes_on_both_streams_and_the_exit_code(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let both = kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    container.exec(&[], both).finish().exits(0).prints("to stdout\n").complains("to stderr\n");
    for code in [1, 42, 255] {
        container.exec(&[], kind.exiter(code)).finish().exits(code);
    }
}

fn an_exec_reads_standard_input_to_its_end(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let lines: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    let echo = container.exec(&["-i"], kind.echoer()).input(lines.clone()).finish().exits(0);
    assert!(echo.stdout == format!("ready\n{lines}"), "{} bytes came back of {}", echo.stdout.len(), lines.len());
    container.exec(&[], kind.echoer()).finish().exits(0).prints("ready\n");
}

fn an_exec_gets_the_environment_of_the_container_and_its_own(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both").flags(["-e", "OUTER=container's", "-e", "BOTH=container's"]);
    let container = run.detach(kind.sleeper());
    let flags = ["-e", "INNER=two words", "-e", "BOTH=exec's"];
    let (words, prefix) = kind.either((["/world.wasm"], "env."), (["env"], ""));
    let seen = container.exec(&flags, words).finish().exits(0);
    for (name, value) in [("OUTER", "container's"), ("INNER", "two words"), ("BOTH", "exec's")] {
        assert_eq!(seen.value(&format!("{prefix}{name}")), value, "{seen}");
    }
}

fn an_exec_begins_in_the_directory_asked_for(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let names = kind.either(vec!["/files.wasm", "list", "."], vec!["ls", "."]);
    container.exec(&["-w", "/data"], names).finish().exits(0).prints("greeting\nsecret\n");
}

/// Words that read a file which is root's alone.
fn read_secret(kind: Kind) -> Vec<&'static str> {
    kind.either(vec!["/files.wasm", "read", "/data/secret"], vec!["cat", "/data/secret"])
}

fn an_exec_runs_as_the_user_asked_for(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    container.exec(&[], read_secret(kind)).finish().exits(0).prints("for root alone\n");
    let write = |name: &str| {
        let path = format!("/work/{name}");
        kind.either(vec!["/files.wasm".into(), "write".into(), path.clone(), String::new()], vec!["touch".into(), path])
    };
    for (user, name) in [("1000:50", "by-number"), ("app:staff", "by-name")] {
        container.exec(&["-u", user], read_secret(kind)).finish().exits(1);
        container.exec(&["-u", user], write(name)).finish().exits(0);
        let made = container.init().file(&format!("root/work/{name}")).metadata().expect("the file that was made");
        assert_eq!((made.uid(), made.gid()), (1000, 50), "the owner of what -u {user} made");
    }
}

fn an_exec_runs_as_the_user_of_the_container_otherwise(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).image("both").flags(["-u", "app"]).detach(kind.sleeper());
    container.exec(&[], read_secret(kind)).finish().exits(1);
    container.exec(&["-u", "0"], read_secret(kind)).finish().exits(0);
}

fn an_exec_sees_the_files_of_the_container(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).image("both").flags(["--tmpfs", "/scratch", "--read-only"]);
    let container = run.detach(kind.sleeper());
    let [write, elsewhere, read] = kind.either(
        [
            vec!["/files.wasm", "write", "/scratch/note", "kept"],
            vec!["/files.wasm", "write", "/note", "kept"],
            vec!["/files.wasm", "read", "/scratch/note"],
        ],
        [
            vec!["sh", "-c", "printf kept >/scratch/note"],
            vec!["sh", "-c", "printf kept >/note"],
            vec!["cat", "/scratch/note"],
        ],
    );
    container.exec(&[], write).finish().exits(0);
    container.exec(&[], elsewhere).finish().fails().says_in_one_line(&["ead-only file system"]);
    container.exec(&[], read).finish().exits(0).prints("kept");
}

fn an_exec_of_a_linux_program_works(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let script = "seq 1000 | sort -rn | head -n 1; exit 3";
    container.exec(&[], ["sh", "-c", script]).finish().exits(3).prints("1000\n");
}

fn an_exec_of_a_module_works(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    container.exec(&[], ["/hello.wasm", "word"]).finish().exits(0).prints("hello from wasm\nword\n");
}

fn an_exec_of_another_export_works(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    container.exec(&[], ["/exports.wasm"]).finish().exits(0).prints("main function\n");
    container.exec(&[], ["/exports.wasm#other"]).finish().exits(0).prints("other function\n");
}

fn an_exec_of_a_missing_program_has_exit_code_127(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    for word in kind.either(["/missing.wasm", "missing.wasm"], ["/missing", "missing"]) {
        let missing = container.exec(&[], [word]).finish().exits(127);
        assert!(missing.stdout.contains(word) || missing.stderr.contains(word), "the name is not told\n{missing}");
    }
    assert!(container.init().lives());
}

fn an_exec_of_what_is_not_executable_has_exit_code_126(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    for word in ["/etc/passwd", "/etc"] {
        container.exec(&[], [word]).finish().exits(126);
    }
}

fn an_exec_of_a_broken_module_says_why(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let broken = container.exec(&[], ["/garbage.wasm"]).finish().fails();
    let said = format!("{}{}", broken.stdout, broken.stderr);
    assert!(said.contains("/garbage.wasm") && said.contains("not a WebAssembly module"), "{broken}");
}

fn an_exec_that_traps_leaves_the_container_alone(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    container.exec(&[], ["/divide-by-zero.wasm"]).finish().exits(134);
    assert!(container.init().lives());
}

fn an_exec_in_a_container_that_has_ended_is_refused(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    container.kill("KILL");
    container.wait();
    let refused = container.exec(&[], kind.exiter(0)).finish().exits(1);
    refused.says_in_one_line(&["is not running"]);
}

fn an_exec_in_the_background_goes_on_by_itself(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let write = kind.either(vec!["/files.wasm", "write", "/tmp/note", "x"], vec!["sh", "-c", "printf x >/tmp/note"]);
    container.exec(&["-d"], write).run().prints("");
    let note = container.init().file("root/tmp/note");
    until("the file that the exec writes", || (std::fs::read_to_string(&note).ok()? == "x").then_some(()));
}

fn an_exec_ends_with_its_container(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let mut exec = container.exec(&[], kind.sleeper()).spawn();
    until("the exec's output", || exec.stdout().contains("sleeping").then_some(()));
    container.kill("KILL");
    assert!(exec.wait(Duration::from_secs(5)), "the exec's client goes on after the container's end");
    exec.end().exits(137);
}

fn an_exec_s_end_leaves_the_container_running(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let init = container.init();
    for _ in 0..3 {
        container.exec(&[], kind.exiter(3)).finish().exits(3);
    }
    assert_eq!(container.inspect(".State.Running"), "true");
    assert_eq!(container.init(), init);
    assert_eq!(container.docker(["top"]).lines().len(), 2, "a process of an exec is left");
}

fn twenty_execs_at_once_all_work(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let execs: Vec<_> = (0..20)
        .map(|number| {
            let word = number.to_string();
            let words = kind.either(vec!["/hello.wasm", &word], vec!["echo", &word]);
            container.exec(&[], words).spawn()
        })
        .collect();
    for (number, mut exec) in execs.into_iter().enumerate() {
        exec.wait(Duration::from_secs(30));
        let finished = exec.end().exits(0);
        assert_eq!(finished.lines().last(), Some(&&*number.to_string()), "{finished}");
    }
}

fn long_output_of_an_exec_is_complete(scene: &Scene, kind: Kind) {
    let container = container(scene, kind);
    let words = kind.either(["/spew.wasm", "50000"], ["seq", "50000"]);
    let finished = container.exec(&[], words).finish().exits(0);
    let numbers =
        finished.lines().iter().filter_map(|line| line.split(' ').next()?.parse::<u32>().ok()).collect::<Vec<_>>();
    assert!(numbers.into_iter().eq(1..=50_000), "{} lines came", finished.lines().len());
}
