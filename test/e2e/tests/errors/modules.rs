//! Modules that cannot run.

use e2e::{Kind, Scene, docker::Container};

/// Runs `word`, which must be refused before it starts: with `code` and the `causes` in one line, by `docker run` and
/// in the container's state.
#[track_caller]
fn refused(scene: &Scene, word: &str, code: i32, causes: &[&str]) -> Container {
    let (run, container) = scene.docker(Kind::Wasm).keep([word]);
    let file = word.split('#').next().unwrap_or(word);
    let parts: Vec<&str> = [file].iter().chain(causes).copied().collect();
    // The client has codes of its own for 126 and 127 only.
    run.exits(if code == 128 { 125 } else { code }).prints("").says_in_one_line(&parts);
    let error = container.inspect(".State.Error");
    assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error:?}");
    assert_eq!(container.inspect(".State.ExitCode"), code.to_string());
    container
}

#[track_caller]
fn expect_refused(word: &str, code: i32, causes: &[&str]) {
    refused(&Scene::new(), word, code, causes);
}

#[test]
fn a_module_that_is_missing_is_exit_code_127_as_under_runc() {
    let scene = Scene::new();
    refused(&scene, "/missing.wasm", 127, &["no such file or directory"]);
    refused(&scene, "missing.wasm", 127, &["executable file not found in $PATH"]);
    scene.docker(Kind::Runc).run(["/missing.wasm"]).exits(127);
}

#[test]
fn a_module_in_a_directory_that_is_missing() {
    expect_refused("/no/such/module.wasm", 127, &["no such file or directory"]);
}

#[test]
fn a_directory_is_no_module() {
    expect_refused("/data", 126, &["is a directory"]);
}

#[test]
fn a_file_that_is_no_module() {
    expect_refused("/garbage.wasm", 128, &["not a WebAssembly module"]);
}

#[test]
fn an_empty_file() {
    expect_refused("/empty.wasm", 128, &["not a WebAssembly module"]);
}

#[test]
fn a_module_cut_short() {
    expect_refused("/truncated.wasm", 128, &["loading failed"]);
}

#[test]
fn a_module_that_does_not_validate() {
    expect_refused("/invalid.wasm", 128, &["type mismatch"]);
}

#[test]
fn a_component() {
    expect_refused("/component.wasm", 128, &["component"]);
}

#[test]
fn exception_handling_is_off() {
    expect_refused("/exceptions.wasm", 128, &["Exception Handling"]);
}

#[test]
fn memories_of_64_bits_are_off() {
    expect_refused("/memory64.wasm", 128, &["memory64"]);
}

#[test]
fn an_import_that_does_not_exist_is_named() {
    expect_refused("/missing-import.wasm", 128, &["no_such_module", "no_such_function"]);
}

#[test]
fn a_function_of_wasi_with_another_type_is_named() {
    expect_refused("/other-type.wasm", 128, &["wasi_snapshot_preview1", "fd_close", "another type"]);
}

#[test]
fn a_function_that_does_not_exist_is_named() {
    let scene = Scene::new();
    refused(&scene, "/exports.wasm#none", 128, &["exports no function \"none\""]);
    refused(&scene, "/no-start.wasm", 128, &["exports no function \"_start\""]);
}

#[test]
fn an_export_that_is_no_function() {
    expect_refused("/exports.wasm#memory", 128, &["memory", "no function"]);
}

#[test]
fn an_entry_function_with_parameters() {
    expect_refused("/start-with-params.wasm", 128, &["_start", "parameter"]);
}

#[test]
fn a_module_that_wants_more_memory_than_the_container_has() {
    let scene = Scene::new();
    let (run, container) = scene.docker(Kind::Wasm).flags(["-m", "64m"]).keep(["/large-memory.wasm"]);
    run.fails().prints("").says_in_one_line(&["/large-memory.wasm", "memory"]);
    assert_eq!(container.inspect(".State.OOMKilled"), "false");
}

#[test]
fn a_refused_container_can_be_started_again_with_the_same_result() {
    let scene = Scene::new();
    let container = refused(&scene, "/garbage.wasm", 128, &["not a WebAssembly module"]);
    for _ in 0..2 {
        let start = e2e::docker::docker(["start", &container.name]).finish();
        start.fails().says_in_one_line(&["/garbage.wasm", "not a WebAssembly module"]);
    }
}

#[test]
fn ctr_tells_the_cause_too() {
    let scene = Scene::new();
    let run = scene.ctr(Kind::Wasm).run(["/garbage.wasm"]).fails();
    run.says_in_one_line(&["/garbage.wasm", "not a WebAssembly module"]);
}
