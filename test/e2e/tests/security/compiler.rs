//! `wasmedge-engine compile`: the compiler has all of LLVM behind it and parses what anybody may have written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use e2e::{Scene, command::command, process::Process, until};

/// A module of the test images.
fn module(name: &str) -> PathBuf {
    let built = "../../target/test-images/workloads/wasm32-wasip1/release";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(built).join(name)
}

fn compile(module: &Path, output: &Path) -> Child {
    Command::new("wasmedge-engine").args(["compile", "-O", "3"]).args([module, output]).spawn().unwrap()
}

/// The process in which a compilation does its work.
fn compiler_of(parent: &Child) -> Process {
    let parent = parent.id().to_string();
    until("the compiler", || Process::all().into_iter().find(|process| process.status("PPid") == parent))
}

#[test]
fn the_compiler_has_no_privileges_no_network_and_bounds() {
    let scene = Scene::new();
    let output = scene.directory().join("http.so");
    let mut parent = compile(&module("http.wasm"), &output);
    let compiler = compiler_of(&parent);
    until("the compiler to be confined", || (compiler.status("Seccomp") == "2").then_some(()));
    for field in ["Uid", "Gid"] {
        let ids: Vec<u32> = compiler.status(field).split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert!(ids.len() == 4 && ids.iter().all(|id| *id >= 1_990_000_000), "{field}: {ids:?}");
    }
    assert_eq!(compiler.status("Groups").trim(), "");
    assert_eq!(u64::from_str_radix(&compiler.status("CapEff"), 16).unwrap(), 0);
    for namespace in ["net", "mnt", "ipc"] {
        let own = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(compiler.namespace(namespace).unwrap(), own.to_string_lossy(), "{namespace}");
    }
    let limits = fs::read_to_string(compiler.file("limits")).unwrap();
    for name in ["Max cpu time", "Max address space", "Max file size", "Max core file size"] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(!line.contains("unlimited"), "{line}");
    }
    assert!(parent.wait().unwrap().success());
    assert_eq!(fs::read(&output).unwrap()[..4], *b"\x7fELF");
}

#[test]
fn a_compiler_whose_parent_is_killed_ends_and_leaves_no_output() {
    let scene = Scene::new();
    let output = scene.directory().join("http.so");
    let mut parent = compile(&module("http.wasm"), &output);
    let compiler = compiler_of(&parent);
    until("the compiler to be confined", || (compiler.status("Seccomp") == "2").then_some(()));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the end of the compiler", || (!compiler.lives()).then_some(()));
    assert_eq!(fs::read_dir(scene.directory()).unwrap().count(), 0);
}

#[test]
fn what_is_no_module_is_not_given_to_the_compiler() {
    let scene = Scene::new();
    let output = scene.directory().join("ls.so").display().to_string();
    let refused = command("wasmedge-engine").args(["compile", "/bin/busybox", &output]).finish().fails();
    refused.says_in_one_line(&["/bin/busybox", "not a WebAssembly module"]);
    assert_eq!(fs::read_dir(scene.directory()).unwrap().count(), 0);
}
