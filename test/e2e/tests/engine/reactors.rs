//! Modules that are no commands: a function is named, takes the arguments and its results are printed.

use e2e::{Finished, Kind, Scene};

/// `/reactor.wasm#FUNCTION ARGUMENTS`, interpreted and as native code, which must come to the same.
fn call(scene: &Scene, words: &[&str]) -> Finished {
    let words: Vec<String> = words
        .iter()
        .enumerate()
        .map(|(index, word)| match index {
            0 => format!("/reactor.wasm#{word}"),
            _ => (*word).to_owned(),
        })
        .collect();
    let run =
        |way: &str| scene.docker(Kind::Wasm).flag(format!("--annotation=io.wasmedge.aot={way}")).run(words.clone());
    let (interpreted, native) = (run("off"), run("require"));
    assert_eq!((interpreted.code, &interpreted.stdout), (native.code, &native.stdout), "{interpreted}\n{native}");
    interpreted
}

#[test]
fn it_is_initialized_once_before_the_function_that_is_named() {
    let scene = Scene::new();
    call(&scene, &["initialized"]).exits(0).prints("1\n");
    call(&scene, &["nothing"]).exits(0).prints("").complains("");
    call(&scene, &["_initialize"]).exits(0).prints("").complains("");
}

#[test]
fn arguments_become_numbers_and_results_are_printed() {
    let scene = Scene::new();
    call(&scene, &["add", "2", "-44"]).exits(0).prints("-42\n");
    call(&scene, &["add", "4294967295", "1"]).exits(0).prints("0\n");
    call(&scene, &["mean", "9000000000", "1.5", "4.5"]).exits(0).prints("3000000002\n9000000000\n");
    // What has no parameter is for the guest to read.
    call(&scene, &["add", "1", "2", "more"]).exits(0).prints("3\n");
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let scene = Scene::new();
    call(&scene, &["add", "1"]).fails().says_in_one_line(&["/reactor.wasm", "takes 2 argument(s), 1 are given"]);
    call(&scene, &["add", "1", "two"]).fails().says_in_one_line(&["\"add\" takes an i32 as argument 2", "two"]);
    call(&scene, &["add", "1", "4294967296"]).fails().says_in_one_line(&["takes an i32 as argument 2"]);
    call(&scene, &["identity", "1"]).fails().says_in_one_line(&["\"identity\"", "only i32, i64, f32 and f64"]);
}

#[test]
fn without_the_name_of_a_function_it_says_that_one_is_needed() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/reactor.wasm"]);
    run.fails().says_in_one_line(&["/reactor.wasm", "it is a reactor", "MODULE#FUNCTION"]);
}

#[test]
fn a_function_that_traps_ends_as_a_command_does() {
    let scene = Scene::new();
    call(&scene, &["trap"]).exits(134).says_in_one_line(&["/reactor.wasm", "trapped", "unreachable"]);
}

#[test]
fn another_function_of_a_running_container_s_module_is_called_by_exec() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    container.exec(&[], ["/reactor.wasm#add", "20", "22"]).finish().exits(0).prints("42\n");
    container.exec(&[], ["/reactor.wasm#initialized"]).finish().exits(0).prints("1\n");
}
