//! Modules that cannot run say so before anything of them runs, and name what they need.

use e2e::{Finished, Kind, Scene};

fn refused(module: &str) -> Finished {
    let scene = Scene::new();
    // Nobody needs native code of them.
    let docker = scene.docker(Kind::Wasm).image("program-refused").flags(["--annotation", "io.wasmedge.aot=off"]);
    docker.run([module]).exits(125)
}

/// They were built with exceptions of WebAssembly, by which C++ and `longjmp` are compiled today.
#[test]
fn modules_with_exceptions_name_the_proposal() {
    for module in ["/refused-micropython.wasm", "/refused-yosys.wasm"] {
        let proposal = "requires enabling Exception Handling proposal";
        refused(module).says_in_one_line(&[&format!("exec: \"{module}\""), "loading failed", proposal]);
    }
}

/// Ruby in npm is for hosts in JavaScript.
#[test]
fn a_module_for_a_host_in_javascript_names_what_it_imports() {
    refused("/refused-ruby.wasm")
        .says_in_one_line(&["it imports", "from \"rb-js-abi-host\", which does not exist here"]);
}
