//! The line that tells what a program did.

use std::collections::HashMap;

use e2e::{Finished, Scene};

use super::{annotated, with_options};

/// The numbers of the one line about `module`.
#[track_caller]
fn told(run: &Finished, module: &str) -> HashMap<String, f64> {
    let begin = format!("wasmedge: {module} statistics: ");
    let lines: Vec<&str> = run.stderr.lines().filter_map(|line| line.strip_prefix(&begin)).collect();
    assert_eq!(lines.len(), 1, "{run}");
    let pairs = lines[0].split(' ').map(|word| word.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[test]
fn a_program_s_end_is_told_however_it_ends() {
    let scene = Scene::new();
    for way in ["aot=off", "aot=require"] {
        let ends: [(&[&str], i32); 4] = [
            (&["/hello.wasm"], 0),
            (&["/exit.wasm", "3"], 3),
            (&["/trap.wasm", "unreachable"], 134),
            (&["/endless-recursion.wasm"], 134),
        ];
        for (words, code) in ends {
            let run = annotated(&scene, &[way, "statistics=true"]).flags(["-m", "256m"]).run(words.iter().copied());
            let numbers = told(&run.exits(code), words[0]);
            assert!(numbers["instructions"] > 10.0 && numbers["gas"] > 10.0, "{way} {words:?}: {numbers:?}");
            assert!(numbers["instructions_per_second"] > 0.0 && numbers["wall_ms"] > 0.0, "{numbers:?}");
            assert!(numbers["memory_pages"] >= 1.0, "{numbers:?}");
        }
        let run = annotated(&scene, &[way, "statistics=true", "gas-limit=1000000"]).run(["/busy.wasm"]).exits(134);
        let gas = told(&run, "/busy.wasm")["gas"];
        assert!((900_000.0..=1_100_000.0).contains(&gas), "{run}");
        let run = annotated(&scene, &[way, "statistics=true", "time-limit=500"]).run(["/busy.wasm"]).exits(134);
        let numbers = told(&run, "/busy.wasm");
        assert!(numbers["wall_ms"] >= 500.0 && numbers["cpu_ms"] > 0.0, "{run}");
        // It has not left its loop.
        assert!(numbers["instructions"] > 100_000.0, "{run}");
    }
}

#[test]
fn the_same_program_counts_the_same_interpreted_and_as_native_code() {
    let scene = Scene::new();
    let count = |way| {
        let run = annotated(&scene, &[way, "statistics=true"]).run(["/exit.wasm", "0"]).exits(0);
        told(&run, "/exit.wasm")["instructions"]
    };
    let (interpreted, native) = (count("aot=off"), count("aot=require"));
    assert!((interpreted / native - 1.0).abs() < 0.2, "{interpreted} and {native}");
}

#[test]
fn a_server_that_is_stopped_tells_it_in_its_log() {
    let scene = Scene::new();
    let container = annotated(&scene, &["statistics=true"]).detach(["/sleep.wasm", "600"]);
    container.says("sleeping").stop();
    assert_eq!(container.exit_code(), 143);
    assert!(told(&container.logs(), "/sleep.wasm")["memory_pages"] >= 1.0);
}

#[test]
fn memory_is_told_as_it_was_at_its_peak() {
    let scene = Scene::new();
    let pages = |mib: &str| {
        let run = annotated(&scene, &["statistics=true"]).run(["/memory.wasm", mib]).exits(0);
        told(&run, "/memory.wasm")["memory_pages"]
    };
    assert_eq!(pages("33") - pages("1"), 32.0 * 16.0);
}

#[test]
fn the_runtime_turns_it_on_and_a_container_off() {
    let scene = Scene::new();
    let options = "[engine]\nstatistics = true\n";
    told(&with_options(&scene, options, &[]).run(["/hello.wasm"]).exits(0), "/hello.wasm");
    with_options(&scene, options, &["statistics=false"]).run(["/hello.wasm"]).exits(0).complains("");
    let run = annotated(&scene, &["statistics=maybe"]).run(["/hello.wasm"]);
    run.fails().says_in_one_line(&["annotation io.wasmedge.statistics", "true or false", "maybe"]);
}
