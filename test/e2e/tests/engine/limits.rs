//! Limits on gas, time and pages of memory.

use std::time::{Duration, Instant};

use e2e::{Kind, Scene};

use super::{annotated, with_options};

/// How modules are run: interpreted, and as native code.
const WAYS: [&str; 2] = ["aot=off", "aot=require"];

#[test]
fn a_module_that_uses_up_its_gas_traps() {
    let scene = Scene::new();
    for way in WAYS {
        for module in ["/busy.wasm", "/endless-loop.wasm"] {
            let run = annotated(&scene, &[way, "gas-limit=3000000"]).run([module]);
            run.exits(134).says_in_one_line(&[module, "trapped", "gas", "the limit is 3000000"]);
        }
        let enough = annotated(&scene, &[way, "gas-limit=3000000"]).run(["/hello.wasm"]);
        enough.exits(0).prints("hello from wasm\n").complains("");
    }
}

#[test]
fn a_module_that_takes_too_long_ends() {
    let scene = Scene::new();
    for way in WAYS {
        for words in [&["/busy.wasm"][..], &["/endless-loop.wasm"], &["/sleep.wasm", "60"]] {
            let run = annotated(&scene, &[way, "time-limit=700"]).run(words.iter().copied());
            let run = run.exits(134).says_in_one_line(&[words[0], "trapped", "time limit of 700 ms"]);
            assert!(run.took >= Duration::from_millis(700), "{run}");
            drop(run.takes_less_than(Duration::from_secs(10)));
        }
    }
    annotated(&scene, &["time-limit=60000"]).run(["/hello.wasm"]).exits(0).complains("");
}

#[test]
fn the_time_of_a_pause_counts() {
    let scene = Scene::new();
    let container = annotated(&scene, &["time-limit=2000"]).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    container.docker(["pause"]);
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(container.inspect(".State.Status"), "paused");
    let begin = Instant::now();
    container.docker(["unpause"]);
    assert_eq!(container.wait(), 134);
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(2)));
    container.logs().says_in_one_line(&["time limit of 2000 ms"]);
}

#[test]
fn a_signal_of_the_timer_s_number_ends_nothing() {
    let scene = Scene::new();
    let container = annotated(&scene, &["time-limit=60000"]).detach(["/sleep.wasm", "600"]);
    container.says("sleeping").kill("ALRM");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(container.inspect(".State.Running"), "true");
}

#[test]
fn a_module_s_memory_does_not_grow_beyond_its_pages() {
    let scene = Scene::new();
    for way in WAYS {
        // 64 MiB are 1024 pages; the module has 17 or so to begin with.
        let run = annotated(&scene, &[way, "memory-pages=1024"]).run(["/memory.wasm", "80"]);
        let run = run.exits(7);
        assert!(run.lines().last().is_some_and(|line| line.starts_with("memory.grow failed after 6")), "{run}");
        let refused = annotated(&scene, &[way, "memory-pages=10"]).run(["/memory.wasm", "1"]);
        refused.fails().says_in_one_line(&["/memory.wasm", "pages of memory to start with, it may have 10"]);
    }
}

#[test]
fn an_option_of_the_runtime_holds_for_all_and_an_annotation_only_lowers_it() {
    let scene = Scene::new();
    let options = "[engine]\ngas_limit = 2000000\ntime_limit_ms = 30000\nmemory_pages = 100\n";
    let run = with_options(&scene, options, &[]).run(["/busy.wasm"]);
    run.exits(134).says_in_one_line(&["gas", "the limit is 2000000"]);
    let run = with_options(&scene, options, &["gas-limit=1000000"]).run(["/busy.wasm"]);
    run.exits(134).says_in_one_line(&["gas", "the limit is 1000000"]);
    let run = with_options(&scene, options, &["time-limit=500"]).run(["/sleep.wasm", "60"]);
    run.exits(134).says_in_one_line(&["time limit of 500 ms"]);
    for annotation in ["gas-limit=2000001", "time-limit=30001", "memory-pages=101"] {
        let run = with_options(&scene, options, &[annotation]).run(["/hello.wasm"]);
        let (name, value) = annotation.split_once('=').unwrap();
        run.fails().says_in_one_line(&[&format!("annotation io.wasmedge.{name}"), "the runtime's limit", value]);
    }
}

#[test]
fn another_program_in_the_container_has_the_limits_for_itself() {
    let scene = Scene::new();
    let limits = ["gas-limit=5000000"];
    let container = annotated(&scene, &limits).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    for _ in 0..2 {
        let run = container.exec(&[], ["/busy.wasm"]).finish();
        run.exits(134).says_in_one_line(&["/busy.wasm", "the limit is 5000000"]);
    }
    container.exec(&[], ["/hello.wasm"]).finish().exits(0).prints("hello from wasm\n");
}

#[test]
fn annotations_that_are_no_limits_are_refused_and_unknown_ones_tolerated() {
    let scene = Scene::new();
    for annotation in ["gas-limit=many", "time-limit=0", "memory-pages=-1"] {
        let (name, value) = annotation.split_once('=').unwrap();
        let run = annotated(&scene, &[annotation]).run(["/hello.wasm"]);
        run.fails().says_in_one_line(&[&format!("annotation io.wasmedge.{name}"), "whole number", value]);
    }
    annotated(&scene, &["from-the-future=1"]).run(["/hello.wasm"]).exits(0).complains("");
}

#[test]
fn a_linux_program_s_annotations_are_looked_at_too() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Linux).flag("--annotation=io.wasmedge.gas-limit=x").run(["true"]);
    run.fails().says_in_one_line(&["annotation io.wasmedge.gas-limit"]);
}

#[test]
fn the_annotations_of_a_pod_hold_for_its_modules() {
    let scene = Scene::new();
    let pod = scene.pod_with(Kind::Wasm, |config| {
        config["annotations"] = serde_json::json!({ "io.wasmedge.gas-limit": "2000000" });
    });
    let busy = pod.container(Kind::Wasm, &["/busy.wasm"]);
    assert_eq!(busy.wait(), 134);
    busy.logs().says_in_one_line(&["/busy.wasm", "the limit is 2000000"]);
}
