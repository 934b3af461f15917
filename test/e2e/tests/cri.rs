//! Pods, as a kubelet makes them.

mod asking;
mod logs;
mod settings;
mod stats;

use e2e::{Kind, Scene, cri::crictl, engine, until};
use serde_json::Value;

#[test]
fn a_pod_holds_a_wasm_and_a_linux_container_behind_one_shim() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let wasm = pod.container(Kind::Wasm, &["/http.wasm", "8080"]);
    let linux = pod.container(Kind::Linux, &["sh", "-c", "echo linux up; exec sleep 600"]);
    wasm.says("listening on 8080");
    linux.says("linux up");
    let shims = engine::shims();
    assert_eq!(shims.len(), 1, "{shims:?}");
    assert_eq!(wasm.status()["state"], "CONTAINER_RUNNING");
    assert_eq!(linux.status()["state"], "CONTAINER_RUNNING");
    crictl(["stop", "--timeout", "5", &wasm.id]).run().takes_less_than(std::time::Duration::from_secs(3));
    assert_eq!(wasm.wait(), 143);
    pod.stop();
    assert_eq!(linux.wait(), 137);
    pod.remove();
    assert_eq!(engine::shims(), []);
}

#[test]
fn the_containers_of_a_pod_share_their_network() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    pod.container(Kind::Wasm, &["/http.wasm", "8080"]).says("listening on 8080");
    let get = pod.container(Kind::Linux, &["wget", "-qO-", "http://127.0.0.1:8080/"]);
    assert_eq!(get.wait(), 0);
    get.logs().prints("hello from wasm http\n");
    let url = format!("http://{}:8080/", pod.address());
    let curl = e2e::command("curl").args(["-s", "--max-time", "10", &url]).run();
    curl.prints("hello from wasm http\n");
}

#[test]
fn both_streams_and_the_exit_code_of_a_container_are_kept() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let both = pod.container(Kind::Wasm, &["/both.wasm"]);
    assert_eq!(both.wait(), 0);
    both.logs().prints("to stdout\n").complains("to stderr\n");
    let failed = scene.pod(Kind::Wasm).container(Kind::Wasm, &["/exit.wasm", "42"]);
    assert_eq!(failed.wait(), 42);
    assert_eq!(failed.status()["reason"], "Error");
}

#[test]
fn a_module_that_cannot_run_says_why_in_the_pod_s_status() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let refused = pod.try_container(Kind::Wasm, &["/garbage.wasm"]).unwrap_err();
    refused.says_in_one_line(&["/garbage.wasm", "not a WebAssembly module"]);
}

#[test]
fn the_stats_of_a_pod_are_told() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let container = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
    container.says("sleeping");
    let memory = || {
        let stats = crictl(["stats", "-o", "json", &container.id]).run();
        let stats: Value = serde_json::from_str(&stats.stdout).ok()?;
        let bytes = stats["stats"][0]["memory"]["workingSetBytes"]["value"].as_str()?.parse::<u64>().ok()?;
        (bytes > 0).then_some(bytes)
    };
    let bytes = until("the memory of the container", memory);
    assert!(bytes < 100_000_000, "{bytes} bytes");
    crictl(["statsp", "-o", "json", &pod.id]).run();
}

#[test]
fn a_pod_without_containers_comes_and_goes() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    assert_eq!(engine::shims().len(), 1);
    pod.stop();
    pod.remove();
    assert_eq!(engine::shims(), []);
}

#[test]
fn a_pod_is_removed_by_force_while_its_containers_run() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    pod.container(Kind::Wasm, &["/busy.wasm"]).says("busy");
    pod.container(Kind::Linux, &["sleep", "600"]);
    crictl(["rmp", "-f", &pod.id]).run();
    assert_eq!(engine::shims(), []);
}

#[test]
fn a_pod_whose_shim_is_killed_can_be_removed() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let wasm = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
    let linux = pod.container(Kind::Linux, &["sleep", "600"]);
    engine::shims().iter().for_each(|shim| shim.kill());
    for container in [wasm, linux] {
        // containerd's CRI notes 255 when the shim goes away under its Wait before it hears of the container's end.
        let code = container.wait();
        assert!([137, 255].contains(&code), "{code}");
    }
    pod.stop();
    pod.remove();
}
