//! The container's memory limit bounds the module's memory.

use e2e::{Kind, Scene};

#[test]
fn memory_grow_fails_before_the_kernel_kills() {
    let scene = Scene::new();
    let (run, container) = scene.docker(Kind::Wasm).flags(["-m", "32m"]).keep(["/memory.wasm", "100"]);
    let run = run.exits(7);
    assert!(run.stdout.contains("memory.grow failed after "), "{run}");
    assert_eq!(container.inspect(".State.OOMKilled"), "true", "as a Linux container that wants more than it may have");
}

#[test]
fn what_the_limit_allows_can_be_used() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).flags(["-m", "128m"]).run(["/memory.wasm", "64"]).exits(0);
    scene.docker(Kind::Wasm).run(["/memory.wasm", "100"]).exits(0);
}

#[test]
fn a_limit_set_through_ctr_counts_too() {
    let scene = Scene::new();
    let run = scene.ctr(Kind::Wasm).flags(["--memory-limit", "33554432"]).run(["/memory.wasm", "100"]).exits(7);
    assert!(run.stdout.contains("memory.grow failed after "), "{run}");
}
