//! WASI where other runtimes' differs from what a Linux program meets.

use std::{fs, time::Duration};

use e2e::{Kind, Scene, docker};

/// A container whose working directory holds a file `f`, and which is a module's first directory.
fn beside_a_file(scene: &Scene) -> docker::Run {
    fs::write(scene.directory().join("f"), "content").unwrap();
    scene.docker(Kind::Wasm).flags(["-v", &format!("{}:/v", scene.directory().display()), "-w", "/v"])
}

/// GHC's runtime polls each descriptor before it reads (github.com/WasmEdge/WasmEdge, issue 2148).
#[test]
fn a_file_is_always_ready() {
    let scene = Scene::new();
    let run = beside_a_file(&scene).run(["/poll-file.wasm"]);
    run.exits(0).takes_less_than(Duration::from_secs(5));
}

/// Databases do that with the directory of a new file (github.com/WasmEdge/WasmEdge, issue 3039).
#[test]
fn a_directory_is_written_to_the_disk() {
    let scene = Scene::new();
    beside_a_file(&scene).run(["/sync-directory.wasm"]).exits(0);
}

/// Regression test: a directory that could not be opened was told with every trap after it.
#[test]
fn a_trap_says_nothing_else() {
    let scene = Scene::new();
    let run = beside_a_file(&scene).run(["/divide-by-zero.wasm"]).exits(134);
    run.says_in_one_line(&["integer divide by zero"]);
}

/// Zig and AssemblyScript programs take the first directory for their own, wasi-libc the last one of those without a name.
#[test]
fn the_working_directory_is_the_first_directory_and_the_last_one() {
    let scene = Scene::new();
    let run = beside_a_file(&scene).run(["/preopens.wasm"]);
    let names: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("preopen ")).collect();
    assert_eq!((names.first(), names.get(1), names.last()), (Some(&"."), Some(&"/"), Some(&".")), "{run}");
    assert!(names.contains(&"/etc"), "{run}");
}
