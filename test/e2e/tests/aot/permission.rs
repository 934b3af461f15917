//! Native code that a container may ask for.

use std::fs;

use e2e::Scene;

use super::Fresh;

fn run(scene: &Scene, module: &Fresh, options: &str, annotations: &[&str]) -> e2e::Finished {
    let file = scene.directory().join(format!("{}.toml", scene.name()));
    fs::write(&file, options).unwrap();
    let flags = annotations.iter().map(|annotation| format!("--annotation=io.wasmedge.aot{annotation}"));
    let run = module.ctr(scene).flags([format!("--runtime-config-path={}", file.display())]).flags(flags);
    run.run(["/fresh/module.wasm"])
}

/// Regression test for S6: `io.wasmedge.aot=require` compiled and linked native code where the admin had switched it off.
#[test]
fn an_annotation_switches_nothing_on_that_the_runtime_has_off() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    for policy in ["tiered", "wait", "require"] {
        let refused = run(&scene, &module, "[aot]\npolicy = \"off\"\n", &[&format!("={policy}")]);
        refused.fails().says_in_one_line(&["annotation io.wasmedge.aot:", policy, "aot.most_policy", "off"]);
    }
    run(&scene, &module, "[aot]\npolicy = \"off\"\n", &["=off"]).exits(0).prints("hello from wasm\n");
    let refused = run(&scene, &module, "[aot]\npolicy = \"tiered\"\n", &["=require"]);
    refused.fails().says_in_one_line(&["annotation io.wasmedge.aot:", "aot.most_policy", "tiered"]);
    assert!(module.native("O0").or(module.native("O2")).is_none());
}

/// Regression test for S6: a container chose a level of optimization above the admin's.
#[test]
fn an_annotation_asks_for_no_more_optimization_than_the_runtime_has() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let refused = run(&scene, &module, "[aot]\nlevel = \"O1\"\n", &["=wait", ".level=O2"]);
    refused.fails().says_in_one_line(&["annotation io.wasmedge.aot.level:", "aot.most_level", "O1"]);
    let refused = run(&scene, &module, "", &["=wait", ".level=O3"]);
    refused.fails().says_in_one_line(&["annotation io.wasmedge.aot.level:", "aot.most_level", "O2"]);
    run(&scene, &module, "[aot]\nlevel = \"O1\"\n", &["=wait", ".level=O0"]).exits(0);
    assert!(module.native("O0").is_some() && module.native("O2").is_none());
}

#[test]
fn options_say_what_containers_may_have_beyond() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let options = "[aot]\npolicy = \"off\"\nmost_policy = \"wait\"\nmost_level = \"O3\"\n";
    run(&scene, &module, options, &[]).exits(0);
    assert!(module.native("O2").is_none(), "nobody asked");
    run(&scene, &module, options, &["=wait", ".level=O3"]).exits(0).prints("hello from wasm\n");
    assert!(module.native("O3").is_some());
    run(&scene, &module, options, &["=require"]).fails().says_in_one_line(&["aot.most_policy", "wait"]);
}
