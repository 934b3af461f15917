//! Probes and hooks, and what the kubelet does after them.

use std::time::Duration;

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds};
use serde_json::{Value, json};

use crate::support::server;

for_kinds! {
    probes_by_http_tcp_and_exec_make_a_pod_ready;
    a_pod_whose_liveness_probe_fails_is_started_again;
    a_pod_whose_readiness_probe_fails_is_not_ready;
    hooks_run_at_the_start_and_before_the_end;
    a_hook_at_the_start_that_fails_ends_the_container;
    a_pod_is_gone_soon_after_its_deletion;
}

const MINUTE: Duration = Duration::from_secs(60);

fn main_of(pod: &mut Value) -> &mut Value {
    &mut pod["spec"]["containers"][0]
}

/// A probe's words that succeed, or fail.
fn exec(kind: Kind, good: bool) -> Value {
    let words = kind.exiter(i32::from(!good));
    json!({ "command": words })
}

fn probes_by_http_tcp_and_exec_make_a_pod_ready(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &server(kind), |pod| {
        let main = main_of(pod);
        main["startupProbe"] = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1, "failureThreshold": 30 });
        main["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
        main["livenessProbe"] = json!({ "exec": exec(kind, true), "periodSeconds": 1, "timeoutSeconds": 5 });
    });
    let pod = pod.ready();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(pod.restarts(), 0, "{}", pod.get()["status"]);
}

fn a_pod_whose_liveness_probe_fails_is_started_again(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        pod["spec"]["restartPolicy"] = json!("Always");
        main_of(pod)["livenessProbe"] = json!({ "exec": exec(kind, false), "periodSeconds": 1, "failureThreshold": 1 });
    });
    space.wait(MINUTE, "a restart", || (pod.restarts() >= 1).then_some(()));
    pod.event(&["Unhealthy", "Liveness probe failed"]);
}

fn a_pod_whose_readiness_probe_fails_is_not_ready(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &server(kind), |pod| {
        main_of(pod)["readinessProbe"] = json!({ "httpGet": { "path": "/nothing", "port": 8080 }, "periodSeconds": 1 });
    });
    pod.event(&["Unhealthy", "Readiness probe failed", "404"]);
    assert!(!kubernetes_tests::pod::is_ready(&pod.get()));
}

fn write(kind: Kind, path: &str) -> Value {
    let linux = format!("echo here >{path}");
    let words = kind.either(vec!["/files.wasm", "write", path, "here"], vec!["sh", "-c", &linux]);
    json!({ "exec": { "command": words } })
}

fn hooks_run_at_the_start_and_before_the_end(space: &Namespace, kind: Kind) {
    let folder = format!("/tmp/{}-hooks", space.name());
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        let main = main_of(pod);
        main["lifecycle"] =
            json!({ "postStart": write(kind, "/hooks/started"), "preStop": write(kind, "/hooks/stopped") });
        main["volumeMounts"] = json!([{ "name": "hooks", "mountPath": "/hooks" }]);
        pod["spec"]["volumes"] =
            json!([{ "name": "hooks", "hostPath": { "path": folder, "type": "DirectoryOrCreate" } }]);
        pod["spec"]["terminationGracePeriodSeconds"] = json!(10);
    });
    let pod = pod.ready();
    let there = |name: &str| std::path::Path::new(&folder).join(name).exists();
    assert!(there("started") && !there("stopped"));
    pod.delete();
    assert!(there("stopped"));
    std::fs::remove_dir_all(&folder).expect("removing the directory");
}

fn a_hook_at_the_start_that_fails_ends_the_container(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        main_of(pod)["lifecycle"] = json!({ "postStart": { "exec": exec(kind, false) } });
    });
    pod.event(&["FailedPostStartHook"]);
    assert_ne!(pod.ended(), 0);
}

fn a_pod_is_gone_soon_after_its_deletion(space: &Namespace, kind: Kind) {
    let ends = kind.either(kind.sleeper(), vec!["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]);
    let pod = space.pod_with(kind, &ends, |pod| pod["spec"]["terminationGracePeriodSeconds"] = json!(30)).ready();
    let took = pod.delete();
    assert!(took < Duration::from_secs(15), "{took:?}");
}
