//! Ends of pods that nobody asked for, and those of who serves them: nothing is left, and what lives is served.

use e2e::{
    Kind, Scene,
    cri::{Pod, crictl},
    docker::docker,
    engine, until,
};
use serde_json::{Value, json};

use super::{HANDLER, apart, pod, run};
use crate::cri::no_shim_is_left;

/// Namespaces of a pod without a process of its own, and of one with such a process.
fn both() -> [Value; 2] {
    [apart(), json!({})]
}

fn state(pod: &Pod) -> String {
    try_state(pod).expect("crictl inspectp prints JSON")
}

/// `None` while containerd has not noticed that a shim is gone.
fn try_state(pod: &Pod) -> Option<String> {
    let text = crictl(["inspectp", &pod.id]).finish().stdout;
    let inspected: Value = serde_json::from_str(&text).ok()?;
    Some(inspected["status"]["state"].as_str()?.to_owned())
}

/// Waits until containerd serves CRI again, and Docker, which every test counts on, has found it.
fn containerd_works() {
    until("containerd", || (crictl(["pods", "-q"]).finish().code == 0).then_some(()));
    until("Docker's connection to containerd", || {
        (docker(["run", "--rm", "--label", "e2e", "localhost/busybox", "true"]).finish().code == 0).then_some(())
    });
}

fn kill_shim() {
    let shims = engine::shims();
    assert_eq!(shims.len(), 1, "{shims:?}");
    shims[0].kill();
    until("the end of the shim", || (!shims[0].lives()).then_some(()));
}

#[test]
fn the_shim_is_killed_before_there_is_a_container() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        kill_shim();
        until("the pod's end", || try_state(&pod).filter(|state| state == "SANDBOX_NOTREADY"));
        pod.stop();
        pod.remove();
    }
}

#[test]
fn the_shim_is_killed_while_a_container_waits_to_be_started() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        // CRI's Create makes no task; its Start does, and this one fails after it.
        let refused = pod.try_container_with(Kind::Wasm, &["/garbage.wasm"], |container| {
            super::with(&mut container["linux"], &namespaces);
        });
        refused.unwrap_err().says_in_one_line(&["/garbage.wasm"]);
        kill_shim();
        pod.stop();
        pod.remove();
    }
}

#[test]
fn the_shim_is_killed_while_containers_run() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        let wasm = run(&pod, Kind::Wasm, &namespaces, &["/sleep.wasm", "600"]);
        let linux = run(&pod, Kind::Linux, &namespaces, &["sleep", "600"]);
        let inits = [wasm.init(), linux.init()];
        kill_shim();
        for container in [wasm, linux] {
            // CRI notes 255 when the shim goes away under its Wait.
            let code = container.wait();
            assert!([137, 255].contains(&code), "{code}");
        }
        until("the end of the containers", || inits.iter().all(|init| !init.lives()).then_some(()));
        pod.stop();
        pod.remove();
    }
}

#[test]
fn the_shim_and_the_engine_host_are_killed_at_once() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let linux = run(&pod, Kind::Linux, &json!({}), &["sleep", "600"]);
    let init = linux.init();
    engine::kill_hosts();
    kill_shim();
    let code = linux.wait();
    assert!([137, 255].contains(&code), "{code}");
    until("the end of the container", || (!init.lives()).then_some(()));
    pod.stop();
    pod.remove();
}

#[test]
fn the_engine_host_is_killed_and_the_pod_goes_on() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let first = run(&pod, Kind::Wasm, &json!({}), &["/sleep.wasm", "600"]);
    first.says("sleeping");
    engine::kill_hosts();
    assert_eq!(state(&pod), "SANDBOX_READY");
    let second = run(&pod, Kind::Linux, &json!({}), &["sleep", "600"]);
    assert_eq!(first.init().namespace("net").unwrap(), second.init().namespace("net").unwrap());
    crictl(["stop", "--timeout", "5", &first.id]).run();
    assert_eq!(first.wait(), 143);
}

#[test]
fn containerd_is_restarted_and_serves_the_pod() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        let wasm = run(&pod, Kind::Wasm, &namespaces, &["/sleep.wasm", "600"]);
        wasm.says("sleeping");
        e2e::command("node-service").args(["restart", "containerd"]).run();
        containerd_works();
        assert_eq!(state(&pod), "SANDBOX_READY");
        assert_eq!(wasm.status()["state"], "CONTAINER_RUNNING");
        let linux = run(&pod, Kind::Linux, &namespaces, &["hostname"]);
        assert_eq!(linux.wait(), 0);
        crictl(["exec", &wasm.id, "/hello.wasm"]).run().prints("hello from wasm\n");
        pod.stop();
        assert_eq!(wasm.wait(), 137);
        pod.remove();
        no_shim_is_left();
    }
}

#[test]
fn containerd_and_the_shim_are_killed_at_once() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        let linux = run(&pod, Kind::Linux, &namespaces, &["sleep", "600"]);
        let init = linux.init();
        e2e::command("node-service").args(["kill", "containerd"]).run();
        kill_shim();
        e2e::command("node-service").args(["start", "containerd"]).run();
        containerd_works();
        until("the end of the container", || (!init.lives()).then_some(()));
        pod.stop();
        pod.remove();
    }
}

#[test]
fn a_stopped_pod_takes_no_container_and_can_be_removed() {
    let scene = Scene::new();
    for namespaces in both() {
        let pod = pod(&scene, HANDLER, &namespaces);
        pod.stop();
        assert_eq!(state(&pod), "SANDBOX_NOTREADY");
        pod.stop();
        pod.remove();
        no_shim_is_left();
    }
}
