//! WebAssembly's proposals, on and off.

use e2e::Scene;

use super::{annotated, with_options};

#[test]
fn a_container_turns_proposals_off() {
    let scene = Scene::new();
    for way in ["aot=off", "aot=require"] {
        annotated(&scene, &[way]).run(["/simd.wasm"]).exits(8);
        let run = annotated(&scene, &[way, "proposals=-simd"]).run(["/simd.wasm"]);
        run.fails().says_in_one_line(&["requires enabling Fixed-width SIMD"]);
        annotated(&scene, &[way, "proposals=-simd"]).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
        // Not the code that was compiled without.
        annotated(&scene, &[way]).run(["/simd.wasm"]).exits(8);
    }
}

#[test]
fn a_container_turns_on_only_what_the_runtime_offers() {
    let scene = Scene::new();
    for (module, proposal) in
        [("/atomics.wasm", "threads"), ("/memory64.wasm", "memory64"), ("/exceptions.wasm", "exception-handling")]
    {
        let on = format!("proposals=+{proposal}");
        scene.docker(e2e::Kind::Wasm).run([module]).fails().says_in_one_line(&[module]);
        let run = annotated(&scene, &[&on]).run([module]);
        run.fails().says_in_one_line(&["annotation io.wasmedge.proposals", proposal, "optional_proposals"]);
    }
    let options = "[engine]\noptional_proposals = [\"threads\"]\n";
    for way in ["aot=off", "aot=require"] {
        with_options(&scene, options, &[way, "proposals=+threads"]).run(["/atomics.wasm"]).exits(5);
        let run = with_options(&scene, options, &[way]).run(["/atomics.wasm"]);
        run.fails().says_in_one_line(&["built for threads", "threads is off"]);
        let run = with_options(&scene, options, &[way, "proposals=+memory64"]).run(["/memory64.wasm"]);
        run.fails().says_in_one_line(&["annotation io.wasmedge.proposals", "memory64"]);
    }
}

#[test]
fn the_runtime_turns_on_what_has_memory_errors_if_it_is_told_to() {
    let scene = Scene::new();
    let options = "[engine]\nproposals = [\"+memory64\", \"+exception-handling\"]\n";
    for module in ["/memory64.wasm", "/exceptions.wasm"] {
        with_options(&scene, options, &["aot=off"]).run([module]).exits(0);
        let run = with_options(&scene, options, &["aot=off", "proposals=-memory64 -exception-handling"]).run([module]);
        run.fails().says_in_one_line(&[module]);
    }
}

#[test]
fn words_that_are_no_proposals_are_refused() {
    let scene = Scene::new();
    for word in ["simd", "+teleport"] {
        let run = annotated(&scene, &[&format!("proposals={word}")]).run(["/hello.wasm"]);
        run.fails().says_in_one_line(&["annotation io.wasmedge.proposals", "+NAME and -NAME", word]);
        let run = with_options(&scene, &format!("[engine]\nproposals = [\"{word}\"]\n"), &[]).run(["/hello.wasm"]);
        run.fails().says_in_one_line(&["runtime option engine.proposals", "+NAME and -NAME", word]);
    }
}
