//! Zig: its standard library takes the first directory that it is given for the working directory.

use std::{fs, path::Path};

use e2e::Scene;
use programs::Program;

const FILES: Program = Program { image: "program-zig", module: "/zig.wasm", linux: "/zig" };

#[test]
fn files_are_those_of_the_working_directory() {
    let scene = Scene::new();
    let prepare = |volume: &Path| {
        fs::create_dir_all(volume.join("work/etc")).unwrap();
        fs::create_dir_all(volume.join("etc")).unwrap();
        fs::write(volume.join("work/greeting"), "hello from the working directory\n").unwrap();
        fs::write(volume.join("greeting"), "hello from above\n").unwrap();
        fs::write(volume.join("etc/passwd"), "not the container's\n").unwrap();
    };
    let outcome = FILES.trial(["x"]).flags(["-w", "/data/work"]).volume(prepare).same_as_under_runc(&scene);
    assert!(outcome.finished.stdout.contains("hello from the working directory"), "{}", outcome.finished);
    assert!(outcome.contents.contains(&"work/made/link -> copy".to_owned()), "{:?}", outcome.contents);
    FILES.trial(["x"]).flags(["-w", "/data"]).volume(prepare).same_as_under_runc(&scene);
}

#[test]
fn without_a_working_directory_files_are_those_of_the_root() {
    FILES.trial(["x"]).flags(["--tmpfs", "/made"]).same_as_under_runc(&Scene::new());
}
