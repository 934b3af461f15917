//! Logs of the shims and of the engine host: each line says whose it is.

use std::fs;

use e2e::{Kind, Scene, cri::crictl, engine, until};
use serde_json::json;

use super::settings::Options;

/// containerd's log, in which those of the shims are.
const CONTAINERD: &str = "/var/log/containerd.log";

#[test]
fn each_line_of_the_engine_s_log_about_a_container_names_pod_and_container() {
    let scene = Scene::new();
    let pod = scene.pod_with(Kind::Wasm, |pod| pod["annotations"] = json!({ "io.wasmedge.no-such-setting": "1" }));
    let container = pod.container_with(Kind::Wasm, &["/sleep.wasm", "600"], |container| {
        container["annotations"] = json!({ "io.wasmedge.no-such-setting": "1" });
    });
    container.says("sleeping");
    let log = engine::log();
    let line = log.lines().find(|line| line.contains(&container.id) && line.contains("no-such-setting"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains(&format!("k8s.io/{} (pod e2e/e2e-", container.id)), "{line}");
    assert!(line.contains(", container e2e-") && line.contains("-wasm): "), "{line}");
}

#[test]
fn each_line_of_a_shim_s_log_names_namespace_pod_and_container() {
    let scene = Scene::new();
    let before = fs::read_to_string(CONTAINERD).unwrap().len();
    let _options = Options::new("[log]\nlevel = \"debug\"\n");
    let pod = scene.pod_under("wasmedge-options", |_| ());
    let container = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
    container.says("sleeping");
    // The host that is lost is told of in a line about the pod.
    engine::kill_hosts();
    crictl(["stop", "--timeout", "5", &container.id]).run();
    let lines = || -> Vec<String> {
        let log = fs::read_to_string(CONTAINERD).unwrap();
        let new = log.get(before..).unwrap_or(&log);
        let shims = new.lines().filter(|line| line.contains("runtime=\"io.containerd.wasmedge.v1\""));
        shims.filter(|line| line.contains(&pod.id)).map(str::to_owned).collect()
    };
    let of_host = until("the shim's line about its host", || {
        lines().into_iter().find(|line| line.contains("the engine host has ended"))
    });
    let names = format!("namespace=\"k8s.io\" sandbox=\"{}\" pod_namespace=\"e2e\" pod=\"e2e-", pod.id);
    assert!(of_host.contains(&names), "{of_host}");
    assert!(!of_host.contains("container="), "{of_host}");
    assert!(lines().iter().all(|line| line.contains(&names)), "{:#?}", lines());
    let of_it = format!("container=\"{}\"", container.id);
    for verb in ["start", "kill"] {
        let is_it = |line: &String| line.contains(&of_it) && line.contains(&format!("msg=\"{verb} "));
        assert!(lines().iter().any(is_it), "{verb}: {:#?}", lines());
    }
}
