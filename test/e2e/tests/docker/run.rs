//! A module's arguments, environment, streams and exit code.

use std::collections::BTreeSet;

use e2e::{Kind, Scene};

#[test]
fn a_module_prints_its_output_and_arguments() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/hello.wasm", "one", "two words", ""]);
    run.exits(0).prints("hello from wasm\none\ntwo words\n\n").complains("");
}

#[test]
fn the_image_s_entrypoint_runs_without_a_command() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).image("hello-wasm").run(["word"]).exits(0).prints("hello from wasm\nword\n");
}

#[test]
fn a_module_is_found_relative_to_the_working_directory() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).image("hello-relative").run([""; 0]).exits(0).prints("hello from wasm\n");
    let in_app = scene.docker(Kind::Wasm).image("hello-path").flags(["-w", "/app", "--entrypoint", "./hello.wasm"]);
    in_app.run([""; 0]).exits(0).prints("hello from wasm\n");
}

#[test]
fn a_module_is_found_through_the_search_path() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).image("hello-path").run([""; 0]).exits(0).prints("hello from wasm\n");
}

#[test]
fn another_function_than_start_is_named_behind_a_hash() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).run(["/exports.wasm"]).exits(0).prints("main function\n");
    scene.docker(Kind::Wasm).run(["/exports.wasm#other"]).exits(0).prints("other function\n");
}

#[test]
fn exit_codes_are_passed_on() {
    let scene = Scene::new();
    for code in [0, 1, 42, 255] {
        scene.docker(Kind::Wasm).run(["/exit.wasm", &code.to_string()]).exits(code).prints("").complains("");
    }
}

#[test]
fn stdout_and_stderr_stay_apart() {
    let scene = Scene::new();
    let (run, container) = scene.docker(Kind::Wasm).keep(["/both.wasm"]);
    run.exits(0).prints("to stdout\n").complains("to stderr\n");
    container.logs().prints("to stdout\n").complains("to stderr\n");
}

#[test]
fn stdin_is_read_to_its_end() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).input("one\ntwo").run(["/cat.wasm"]).exits(0).prints("one\ntwo");
    let long = "0123456789abcde\n".repeat(100_000);
    let run = scene.docker(Kind::Wasm).input(long.clone()).run(["/cat.wasm"]).exits(0);
    assert!(run.stdout == long, "{} bytes went in, {} came back", long.len(), run.stdout.len());
}

#[test]
fn without_input_stdin_is_at_its_end() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).run(["/cat.wasm"]).exits(0).prints("");
}

#[test]
fn long_output_is_not_lost() {
    let scene = Scene::new();
    let expected: String = (1..=100_000).map(|number| format!("{number:010} {:x<52}\n", "")).collect();
    let (run, container) = scene.docker(Kind::Wasm).keep(["/spew.wasm", "100000"]);
    let attached = run.exits(0).stdout;
    assert!(attached == expected, "{} of {} bytes came through docker run", attached.len(), expected.len());
    let logged = container.logs().stdout;
    assert!(logged == expected, "{} of {} bytes came through docker logs", logged.len(), expected.len());
}

#[test]
fn a_detached_module_is_logged_and_waited_for() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "0.5"]);
    assert_eq!(container.wait(), 0);
    container.logs().prints("sleeping\nawake\n").complains("");
    let container = scene.docker(Kind::Wasm).detach(["/exit.wasm", "7"]);
    assert_eq!(container.wait(), 7);
}

#[test]
fn the_guest_sees_its_environment_and_nothing_else() {
    let scene = Scene::new();
    let flags = ["-e", "GREETING=hello world", "-e", "EMPTY=", "--hostname", "guest"];
    let wasm = scene.docker(Kind::Wasm).flags(flags).run(["/world.wasm"]).exits(0);
    assert_eq!((wasm.value("env.GREETING"), wasm.value("env.EMPTY")), ("hello world", ""));
    assert_eq!(wasm.value("env.HOSTNAME"), "guest");
    let runc = scene.docker(Kind::Runc).flags(flags).run(["env"]).exits(0);
    let of_wasm: BTreeSet<_> = wasm.lines().into_iter().filter_map(|line| line.strip_prefix("env.")).collect();
    let of_runc: BTreeSet<_> = runc.lines().into_iter().collect();
    assert_eq!(of_wasm, of_runc, "left: the module's environment, right: runc's");
}

#[test]
fn the_working_directory_is_where_relative_paths_begin() {
    let scene = Scene::new();
    let run = |words: &[&str]| scene.docker(Kind::Wasm).flags(["-w", "/data"]).run(words.iter().copied());
    run(&["/files.wasm", "read", "greeting"]).exits(0).prints("hello from the image\n");
    run(&["/files.wasm", "read", "/data/greeting"]).exits(0).prints("hello from the image\n");
    run(&["/files.wasm", "list", "."]).exits(0).prints("greeting\nsecret\n");
    let hosts = run(&["/files.wasm", "read", "/etc/hosts"]).exits(0);
    assert!(hosts.stdout.contains("localhost"), "{hosts}");
}

#[test]
fn a_working_directory_that_is_not_there_is_made() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).flags(["-w", "/new/place"]).run(["/files.wasm", "list", "/new"]);
    run.exits(0).prints("place/\n");
}

#[test]
fn both_clocks_advance() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/clock.wasm"]).exits(0);
    let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let there: u64 = run.value("realtime").parse().unwrap();
    assert!(here.abs_diff(there) <= 5, "the guest's clock says {there}, the node's {here}");
}

#[test]
fn random_numbers_differ_between_containers() {
    let scene = Scene::new();
    let numbers: BTreeSet<String> =
        (0..4).map(|_| scene.docker(Kind::Wasm).run(["/random.wasm"]).exits(0).stdout).collect();
    assert_eq!(numbers.len(), 4, "{numbers:?}");
}

#[test]
fn an_init_in_front_of_a_module_does_not_hinder_it() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).flag("--init").run(["/hello.wasm", "word"]);
    run.exits(0).prints("hello from wasm\nword\n");
    scene.docker(Kind::Wasm).flag("--init").run(["/exit.wasm", "42"]).exits(42);
}
