//! What people read when something is wrong: the texts of events.

use std::time::Duration;

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds};
use serde_json::json;

for_kinds! {
    a_program_that_is_missing_is_named;
    a_file_that_is_no_program_is_named;
    a_module_of_a_proposal_that_is_off_is_explained: Wasm;
    a_component_is_explained: Wasm;
    a_wrong_annotation_is_named: Wasm;
    a_runtime_class_that_nobody_has_is_named: Wasm;
    an_image_that_is_not_there_is_named;
}

fn a_program_that_is_missing_is_named(space: &Namespace, kind: Kind) {
    for word in ["/nothing", "nothing"] {
        let pod = space.pod(kind, &[word]);
        pod.event(&["Failed", word, if word.starts_with('/') { "no such file" } else { "$PATH" }]);
        let state = pod.ended_as();
        assert_eq!((&state["reason"], &state["exitCode"]), (&json!("StartError"), &json!(128)));
    }
}

fn a_file_that_is_no_program_is_named(space: &Namespace, kind: Kind) {
    let file = kind.either("/garbage.wasm", "/etc/passwd");
    let pod = space.pod_with(kind, &[file], |pod| pod["spec"]["volumes"] = json!([]));
    pod.event(&["Failed", file]);
}

fn a_module_of_a_proposal_that_is_off_is_explained(space: &Namespace, kind: Kind) {
    for (file, word) in
        [("/exceptions.wasm", "exception"), ("/memory64.wasm", "memory64"), ("/atomics.wasm", "threads")]
    {
        space.pod(kind, &[file]).event(&[file, word]);
    }
}

fn a_component_is_explained(space: &Namespace, kind: Kind) {
    space.pod(kind, &["/component.wasm"]).event(&["/component.wasm", "component"]);
}

/// F9: the kubelet tries for ever, as containerd's interface knows no failure that stays; the event says what is wrong.
fn a_wrong_annotation_is_named(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &["/hello.wasm"], |pod| {
        pod["metadata"]["annotations"] = json!({ "io.wasmedge.gas-limit": "lots" });
    });
    pod.event(&["io.wasmedge.gas-limit", "lots", "whole number"]);
}

fn a_runtime_class_that_nobody_has_is_named(space: &Namespace, kind: Kind) {
    let name = format!("{}-nobody", space.name());
    space.create_in_cluster(json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": name }, "handler": "nobody",
    }));
    let pod = space.pod_with(kind, &["/hello.wasm"], |pod| pod["spec"]["runtimeClassName"] = json!(name));
    pod.event(&["FailedCreatePodSandBox", "nobody"]);
}

fn an_image_that_is_not_there_is_named(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &["/hello.wasm"], |pod| {
        pod["spec"]["containers"][0]["image"] = json!("localhost/nothing:latest");
    });
    space.wait(Duration::from_secs(60), "an event", || {
        space.events(&pod.name).into_iter().find(|event| event.contains("localhost/nothing:latest"))
    });
}
