//! `wasmedge-engine status`.

use e2e::{Command, Kind, Scene, command, engine, until};
use serde_json::Value;

use super::annotated;

fn status() -> Command {
    command(engine::BINARY).arg("status")
}

#[track_caller]
fn json() -> Value {
    serde_json::from_str(&status().arg("--json").run().stdout).expect("it is JSON")
}

/// What is told of a container.
#[track_caller]
fn of(id: &str) -> Value {
    let all = json();
    let containers = all["containers"].as_array().unwrap();
    containers.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("no {id} in {all}")).clone()
}

#[test]
fn hosts_containers_compilers_and_the_cache_are_told_of() {
    let scene = Scene::new();
    let native = annotated(&scene, &["aot=require", "statistics=true"]).detach(["/sleep.wasm", "600"]);
    let interpreted = annotated(&scene, &["aot=off", "gas-limit=9000000000"]).detach(["/memory.wasm", "17", "600"]);
    let linux = scene.docker(Kind::Linux).detach(["sh", "-c", "echo up; exec sleep 600"]);
    native.says("sleeping");
    interpreted.says("grew 17 MiB");
    linux.says("up");
    let host = engine::running_host();
    let all = json();
    assert_eq!(all["hosts"][0]["pid"], host.pid);
    assert_eq!(all["hosts"][0]["engine"], engine::BINARY);
    assert!(all["cache"]["entries"].as_u64().unwrap() > 0 && all["compilers"]["running"].is_number(), "{all}");
    let told = of(&native.inspect(".Id"));
    assert_eq!(
        (&told["code"], &told["program"], &told["namespace"]),
        (&"O2".into(), &"/sleep.wasm".into(), &"moby".into())
    );
    assert!(told["instructions"].as_u64().unwrap() > 0 && told["gas_limit"].is_null(), "{told}");
    let told = of(&interpreted.inspect(".Id"));
    assert_eq!((&told["code"], &told["gas_limit"]), (&"interpreted".into(), &9_000_000_000_u64.into()));
    let memory = told["linear_memory_bytes"].as_u64().unwrap();
    assert!((17 << 20..24 << 20).contains(&memory), "{memory}");
    let told = of(&linux.inspect(".Id"));
    assert_eq!((&told["module"], &told["code"], &told["program"]), (&false.into(), &Value::Null, &"sh".into()));
    assert_eq!(told["pid"], linux.init().pid);
    let text = status().run();
    text.says_on_stdout(&format!("engine host {}: version ", host.pid))
        .says_on_stdout("NAMESPACE")
        .says_on_stdout("/memory.wasm")
        .says_on_stdout("17.")
        .says_on_stdout("compilers: ")
        .says_on_stdout("cache: ");
}

#[test]
fn a_pod_is_called_as_kubernetes_calls_it() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let container = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
    container.says("sleeping");
    let told = of(&container.id);
    assert_eq!(told["pod"]["namespace"], "e2e", "{told}");
    assert!(told["pod"]["name"].as_str().unwrap().starts_with("e2e-"), "{told}");
    assert!(told["pod"]["container"].as_str().unwrap().ends_with("-wasm"), "{told}");
    let sandbox = of(&pod.id);
    assert_eq!((&sandbox["module"], &sandbox["pod"]["container"]), (&false.into(), &"".into()));
}

#[test]
fn containers_without_a_host_are_told_of_and_a_node_without_either_says_so() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    engine::kill_hosts();
    status().run().says_on_stdout("no engine host runs").says_on_stdout("/sleep.wasm");
    assert_eq!(json()["hosts"], serde_json::json!([]));
    container.remove();
    until("the end of all hosts", || {
        engine::kill_hosts();
        let none = status().finish();
        (none.code == 1 && none.stderr.contains("no engine host runs on this node")).then_some(())
    });
}

#[test]
fn who_is_not_root_is_told_why_not() {
    let _scene = Scene::new();
    let refused = status().user(65_534).finish().exits(1);
    refused.says_in_one_line(&["status is for root", engine::STATE]);
    status().arg("--yaml").finish().exits(1).says_in_one_line(&["--yaml"]);
}

/// One that is stopped, as by a debugger, is a host that does not answer.
#[test]
fn a_host_that_does_not_answer_is_named() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    let host = engine::running_host();
    let stopped = nix::unistd::Pid::from_raw(host.pid);
    nix::sys::signal::kill(stopped, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let told = status().finish();
    nix::sys::signal::kill(stopped, nix::sys::signal::Signal::SIGCONT).unwrap();
    told.exits(0).says_on_stdout(&format!("engine host {}: ", host.pid)).says_on_stdout("/sleep.wasm");
}
