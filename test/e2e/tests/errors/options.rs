//! Runtime options that cannot be used. Docker's own configuration names a file with them: of the `options` that it
//! has for a runtime it passes on `TypeUrl` and `ConfigPath` only.

use std::{fs, time::Duration};

use e2e::{Kind, Scene, command::read, docker::docker, process::Process, within};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

const DAEMON: &str = "/etc/docker/daemon.json";

/// Gives Docker a further runtime, this one with `options`. It stays until dockerd starts anew, which a reload cannot
/// change; the file is as before.
fn add_runtime(name: &str, options: &Value) {
    let before = read(DAEMON);
    let mut daemon: Value = serde_json::from_str(&before).unwrap();
    daemon["runtimes"] = json!({ name: { "runtimeType": "io.containerd.wasmedge.v1", "options": options } });
    fs::write(DAEMON, daemon.to_string()).unwrap();
    let dockerd = Process::named("dockerd").remove(0);
    kill(Pid::from_raw(dockerd.pid), Signal::SIGHUP).unwrap();
    let known = within(Duration::from_secs(10), || {
        let runtimes = docker(["info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"]).run().stdout;
        runtimes.split_whitespace().any(|known| known == name).then_some(())
    });
    fs::write(DAEMON, &before).unwrap();
    assert!(known.is_some(), "Docker does not take a runtime with the options {options}");
}

/// Runs a container with the options that the TOML `text` gives.
fn run_with(text: &str, check: impl FnOnce(e2e::Finished)) {
    let scene = Scene::new();
    let name = scene.name();
    let file = scene.directory().join("options.toml");
    fs::write(&file, text).unwrap();
    add_runtime(&name, &json!({ "TypeUrl": "io.containerd.wasmedge.v1.options", "ConfigPath": file }));
    check(scene.docker(Kind::Wasm).flag(format!("--runtime={name}")).run(["/hello.wasm"]));
}

#[test]
fn an_option_of_the_wrong_type_is_named() {
    run_with("SystemdCgroup = \"yes\"\n", |run| {
        drop(run.fails().says_in_one_line(&["runtime option SystemdCgroup", "true or false", "\"yes\""]));
    });
}

#[test]
fn a_wrong_value_in_a_section_is_named() {
    run_with("[log]\nlevel = \"loud\"\n", |run| {
        drop(run.fails().says_in_one_line(&["runtime option log.level", "\"loud\""]));
    });
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    run_with("[engine]\npath = \"/no/such/engine\"\n", |run| {
        drop(run.fails().says_in_one_line(&["/no/such/engine"]));
    });
}

#[test]
fn options_of_later_versions_and_of_runc_are_tolerated() {
    run_with("BinaryName = \"runc\"\nNoSuchOption = 3\n[later]\na = 1\n", |run| {
        run.exits(0).prints("hello from wasm\n");
    });
}

#[test]
fn good_options_are_taken() {
    run_with("SystemdCgroup = false\n[log]\nlevel = \"debug\"\n", |run| {
        run.exits(0).prints("hello from wasm\n");
    });
}

#[test]
fn options_that_are_no_toml_are_refused() {
    run_with("SystemdCgroup = ", |run| drop(run.fails().says_in_one_line(&["runtime options are not TOML"])));
}

#[test]
fn a_file_of_options_that_is_not_there_is_named() {
    let scene = Scene::new();
    let name = scene.name();
    add_runtime(&name, &json!({ "ConfigPath": "/no/such/options.toml" }));
    let run = scene.docker(Kind::Wasm).flag(format!("--runtime={name}")).run(["/hello.wasm"]);
    run.fails().says_in_one_line(&["/no/such/options.toml", "No such file"]);
}
