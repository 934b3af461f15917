//! Modules whose interpretation takes more memory than their container may have: they wait for native code, which takes less
//! and is made outside of the container's limit.

use std::{fs, iter};

use e2e::{Kind, Scene, ctr, docker::docker, engine};
use serde_json::json;

use super::Fresh;

/// What the module says.
const SAYS: &str = "hello from a large module\n";

/// Bytes of its code, about; interpreted, 32 times as much.
const CODE: usize = 1_500_000;

const LIMIT: [&str; 4] = ["-m", "32m", "--memory-swap", "32m"];

/// A number as unsigned LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn counted(items: &[Vec<u8>]) -> Vec<u8> {
    [leb(items.len()), items.concat()].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&leb(bytes.len()), bytes].concat()
}

/// A module (WebAssembly core specification, binary format) that says something and has functions that nobody calls.
fn large(end: &[u8]) -> Vec<u8> {
    // Of local 0, a thousand times: what came before, plus 1.
    let body = [&[0][..], b"\x20\x00", &b"\x41\x01\x6a".repeat(1000), &[0x0b]].concat();
    let functions = CODE / body.len();
    // fd_write(1, 0, 1, 64); drop
    let start = [b"\0\x41\x01\x41\0\x41\x01\x41\xc0\0\x10\0\x1a", end, b"\x0b"].concat();
    let types = [b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f".to_vec(), b"\x60\0\0".to_vec(), b"\x60\x01\x7f\x01\x7f".to_vec()];
    let import = [sized(b"wasi_snapshot_preview1"), sized(b"fd_write"), vec![0, 0]].concat();
    let bodies: Vec<Vec<u8>> = iter::once(sized(&start)).chain(iter::repeat_n(sized(&body), functions)).collect();
    let kinds: Vec<Vec<u8>> = iter::once(vec![1]).chain(iter::repeat_n(vec![2], functions)).collect();
    let text = [&[8, 0, 0, 0, SAYS.len() as u8, 0, 0, 0], SAYS.as_bytes()].concat();
    let sections = [
        (1, counted(&types)),
        (2, counted(&[import])),
        (3, counted(&kinds)),
        (5, counted(&[vec![0, 1]])),
        (7, counted(&[[sized(b"memory"), vec![2, 0]].concat(), [sized(b"_start"), vec![0, 1]].concat()])),
        (10, counted(&bodies)),
        (11, counted(&[[&b"\0\x41\0\x0b"[..], &sized(&text)].concat()])),
    ];
    let sections = sections.iter().flat_map(|(id, section)| [vec![*id], sized(section)].concat());
    b"\0asm\x01\0\0\0".iter().copied().chain(sections).collect()
}

fn fresh(scene: &Scene) -> Fresh {
    Fresh::of(scene, large(b""))
}

/// One that goes on, in an endless loop.
fn endless(scene: &Scene) -> Fresh {
    Fresh::of(scene, large(b"\x03\x40\x0c\0\x0b"))
}

/// Regression test: a container that began interpreted was interpreted for its life.
#[test]
fn a_first_start_of_a_large_module_runs_native_code_without_a_limit_too() {
    let scene = Scene::new();
    engine::quiet();
    let module = endless(&scene);
    let container = module.docker(&scene, "tiered").detach(["/fresh/module.wasm"]);
    container.says(SAYS.trim_end());
    assert_eq!(super::mapped(&container.init(), &module), ["O0"]);
}

/// Regression test: such a start failed without a cause, and went well once there was native code.
#[test]
fn a_first_start_waits_for_native_code_where_interpreting_takes_too_much_memory() {
    let scene = Scene::new();
    let module = fresh(&scene);
    module.docker(&scene, "tiered").flags(LIMIT).run(["/fresh/module.wasm"]).exits(0).prints(SAYS);
    assert!(module.native("O0").is_some());
    module.docker(&scene, "tiered").flags(LIMIT).run(["/fresh/module.wasm"]).exits(0).prints(SAYS);
    assert_eq!(module.compilations("O0"), 1);
}

#[test]
fn a_pod_s_container_waits_for_it_too() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let container = scene.pod(Kind::Wasm).container_with(Kind::Wasm, &["/fresh/module.wasm"], |config| {
        config["linux"]["resources"] = json!({ "memory_limit_in_bytes": 33_554_432 });
        config["mounts"] = json!([{ "host_path": module.directory, "container_path": "/fresh", "readonly": true }]);
    });
    assert_eq!(container.wait(), 0);
    container.says(SAYS.trim_end());
}

#[test]
fn a_program_in_a_container_waits_for_it_too() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let container = module.docker(&scene, "tiered").flags(LIMIT).detach(["/sleep.wasm", "600"]);
    container.says("sleeping").exec(&[], ["/fresh/module.wasm"]).finish().exits(0).prints(SAYS);
    assert!(container.init().lives());
}

#[test]
fn many_that_wait_need_one_compilation() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let runs: Vec<_> = (0..4).map(|_| module.docker(&scene, "tiered").flags(LIMIT)).collect();
    std::thread::scope(|scope| {
        for run in &runs {
            scope.spawn(|| run.run(["/fresh/module.wasm"]).exits(0).prints(SAYS));
        }
    });
    assert_eq!(module.compilations("O0"), 1);
}

#[test]
fn without_native_code_it_is_said_what_interpreting_takes() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let (run, container) = module.docker(&scene, "off").flags(LIMIT).keep(["/fresh/module.wasm"]);
    let cause =
        ["/fresh/module.wasm", "interpreting it takes about ", " MiB of memory, the container's limit leaves 27 MiB"];
    run.fails().prints("").says_in_one_line(&cause);
    assert!(module.native("O0").or(module.native("O2")).is_none());
    assert_eq!(container.inspect(".State.OOMKilled"), "false");
    module.docker(&scene, "off").flags(["-m", "128m"]).run(["/fresh/module.wasm"]).exits(0).prints(SAYS);
}

#[test]
fn a_module_that_cannot_be_compiled_is_named_with_both_causes() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let options = scene.directory().join("options.toml");
    fs::write(&options, "[aot]\ncompilers_mib = 64\n").unwrap();
    let path = format!("--runtime-config-path={}", options.display());
    let run: ctr::Run = module.ctr(&scene).flags([path, "--memory-limit=33554432".to_owned()]);
    let cause = ["interpreting it takes about ", "the container's limit leaves 27 MiB", "compiling it takes about "];
    run.run(["/fresh/module.wasm"]).fails().says_in_one_line(&cause);
}

/// What the module's native code takes is not all that the compiler takes: that is not the container's.
#[test]
fn the_compiler_is_not_charged_to_the_container() {
    let scene = Scene::new();
    let module = fresh(&scene);
    let (run, container) = module.docker(&scene, "wait").flags(LIMIT).keep(["/fresh/module.wasm"]);
    run.exits(0);
    let filters = ["--filter", "event=oom", "--filter", &format!("container={}", container.name)];
    assert_eq!(docker(["events", "--since", "10m", "--until", "0s"]).args(filters).run().stdout, "");
}
