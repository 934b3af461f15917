//! Pods, as a kubelet makes them: with a container of their own, and without.

mod asking;
mod logs;
mod sandbox;
mod settings;
mod stats;

use e2e::{Kind, Scene, cri::crictl, engine, until};
use serde_json::Value;

/// Makes two tests of each function named `fn it_works(scene: &Scene, handler: &str)`: with the handler whose pods containerd
/// makes a container for, and with the one whose pods the shim holds.
macro_rules! for_sandboxers {
    ($($name:ident;)+) => {
        $(mod $name {
            #[test]
            fn with_a_container_of_its_own() {
                super::$name(&e2e::Scene::new(), "wasmedge");
            }

            #[test]
            fn held_by_the_shim() {
                super::$name(&e2e::Scene::new(), "wasmedge-sandbox");
            }
        })+
    };
}

for_sandboxers! {
    a_pod_holds_a_wasm_and_a_linux_container_behind_one_shim;
    the_containers_of_a_pod_share_their_network;
    both_streams_and_the_exit_code_of_a_container_are_kept;
    a_module_that_cannot_run_says_why_in_the_pod_s_status;
    the_stats_of_a_pod_are_told;
    a_pod_without_containers_comes_and_goes;
    a_pod_is_removed_by_force_while_its_containers_run;
    a_pod_whose_shim_is_killed_can_be_removed;
}

fn a_pod_holds_a_wasm_and_a_linux_container_behind_one_shim(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
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
    no_shim_is_left();
}

fn the_containers_of_a_pod_share_their_network(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
    pod.container(Kind::Wasm, &["/http.wasm", "8080"]).says("listening on 8080");
    let get = pod.container(Kind::Linux, &["wget", "-qO-", "http://127.0.0.1:8080/"]);
    assert_eq!(get.wait(), 0);
    get.logs().prints("hello from wasm http\n");
    let url = format!("http://{}:8080/", pod.address());
    let curl = e2e::command("curl").args(["-s", "--max-time", "10", &url]).run();
    curl.prints("hello from wasm http\n");
}

fn both_streams_and_the_exit_code_of_a_container_are_kept(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
    let both = pod.container(Kind::Wasm, &["/both.wasm"]);
    assert_eq!(both.wait(), 0);
    both.logs().prints("to stdout\n").complains("to stderr\n");
    let failed = scene.pod_under(handler, |_| ()).container(Kind::Wasm, &["/exit.wasm", "42"]);
    assert_eq!(failed.wait(), 42);
    assert_eq!(failed.status()["reason"], "Error");
}

fn a_module_that_cannot_run_says_why_in_the_pod_s_status(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
    let refused = pod.try_container(Kind::Wasm, &["/garbage.wasm"]).unwrap_err();
    refused.says_in_one_line(&["/garbage.wasm", "not a WebAssembly module"]);
}

fn the_stats_of_a_pod_are_told(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
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

fn a_pod_without_containers_comes_and_goes(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
    assert_eq!(engine::shims().len(), 1);
    pod.stop();
    pod.remove();
    no_shim_is_left();
}

fn a_pod_is_removed_by_force_while_its_containers_run(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
    pod.container(Kind::Wasm, &["/busy.wasm"]).says("busy");
    pod.container(Kind::Linux, &["sleep", "600"]);
    crictl(["rmp", "-f", &pod.id]).run();
    no_shim_is_left();
}

fn a_pod_whose_shim_is_killed_can_be_removed(scene: &Scene, handler: &str) {
    let pod = scene.pod_under(handler, |_| ());
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

/// The shim of a pod ends right after it has answered that the pod is gone.
#[track_caller]
fn no_shim_is_left() {
    until("the end of the shim", || engine::shims().is_empty().then_some(()));
}
