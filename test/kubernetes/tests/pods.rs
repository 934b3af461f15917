//! Pods: their programs, what these are told, and what becomes of them.

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds, pod::container};
use serde_json::{Value, json};

use crate::support::{hello, reader, value, words};

for_kinds! {
    a_pod_runs_to_its_end;
    the_exit_code_of_a_pod_is_told;
    arguments_and_variables_are_passed_on;
    a_pod_has_its_working_directory;
    a_program_is_started_again_after_its_failure;
    containers_of_both_kinds_are_in_one_pod: Wasm;
    init_containers_run_one_after_the_other;
    a_native_sidecar_ends_after_the_program: Wasm Linux;
    processes_of_a_pod_are_shared_when_asked_for: Wasm Linux;
    a_termination_message_is_told;
    the_end_of_the_log_is_the_message_when_asked_for;
    many_containers_are_in_one_pod: Wasm Linux;
    a_program_that_does_not_end_is_killed_after_its_grace;
}

fn a_pod_runs_to_its_end(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &hello(kind));
    assert_eq!(pod.ended(), 0);
    assert!(pod.logs().contains("hello"), "{}", pod.logs());
}

fn the_exit_code_of_a_pod_is_told(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &words(&kind.exiter(7)));
    let state = pod.ended_as();
    assert_eq!((state["exitCode"].as_i64(), state["reason"].as_str()), (Some(7), Some("Error")));
}

fn world(kind: Kind) -> Vec<&'static str> {
    kind.either(
        vec!["/world.wasm"],
        vec!["sh", "-c", r#"env | sed 's/^/env./'; echo "arg.1=$1"; echo "cwd=$PWD""#, "0"],
    )
}

fn arguments_and_variables_are_passed_on(space: &Namespace, kind: Kind) {
    space.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "colour": "green" },
    }));
    space.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" }, "stringData": { "KEY": "s3cret" },
    }));
    let pod = space.pod_with(kind, &world(kind), |pod| {
        let main = &mut pod["spec"]["containers"][0];
        main["args"] = json!(["$(COLOUR)-$(MY_KEY)"]);
        main["envFrom"] = json!([{ "prefix": "MY_", "secretRef": { "name": "keys" } }]);
        main["resources"] = json!({ "limits": { "memory": "64Mi" } });
        let field =
            |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
        main["env"] = json!([
            { "name": "COLOUR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "colour" } } },
            field("POD", "metadata.name"),
            field("NODE_ADDRESS", "status.hostIP"),
            { "name": "LIMIT", "valueFrom": { "resourceFieldRef": { "resource": "limits.memory" } } },
        ]);
    });
    assert_eq!(pod.ended(), 0);
    let log = pod.logs();
    for (key, expected) in [
        ("arg.1", "green-s3cret"),
        ("env.COLOUR", "green"),
        ("env.MY_KEY", "s3cret"),
        ("env.POD", &pod.name),
        ("env.NODE_ADDRESS", "10.99.0.1"),
        ("env.LIMIT", "67108864"),
        ("env.KUBERNETES_SERVICE_HOST", "10.96.0.1"),
    ] {
        assert_eq!(value(&log, key), Some(expected), "{key} in\n{log}");
    }
}

fn a_pod_has_its_working_directory(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &reader(kind, "passwd"), |pod| {
        pod["spec"]["containers"][0]["workingDir"] = json!("/work");
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "work", "mountPath": "/work" }]);
        pod["spec"]["volumes"] = json!([{ "name": "work", "downwardAPI": { "items": [
            { "path": "passwd", "fieldRef": { "fieldPath": "metadata.namespace" } }] } }]);
    });
    assert_eq!(pod.ended(), 0);
    assert_eq!(pod.logs().trim(), space.name());
}

fn a_program_is_started_again_after_its_failure(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &words(&kind.exiter(3)), |pod| pod["spec"]["restartPolicy"] = json!("OnFailure"));
    space.wait(std::time::Duration::from_secs(60), "two restarts", || (pod.restarts() >= 2).then_some(()));
    let last = pod.get().pointer("/status/containerStatuses/0/lastState/terminated/exitCode").and_then(Value::as_i64);
    assert_eq!(last, Some(3));
    pod.event(&["BackOff"]);
}

fn containers_of_both_kinds_are_in_one_pod(space: &Namespace, _: Kind) {
    // The module serves the file that the Linux program writes; it asks it by the pod's loopback.
    let pod = space.pod_with(Kind::Wasm, &["/http.wasm", "8080"], |pod| {
        let script = "until wget -qO- http://127.0.0.1:8080/; do sleep 0.2; done; exec sleep 600";
        let linux = container("linux", Kind::Linux, &["sh", "-c", script]);
        pod["spec"]["containers"].as_array_mut().expect("containers").push(linux);
    });
    let pod = pod.ready();
    space.wait(std::time::Duration::from_secs(30), "the answer", || {
        let log = space.kubectl(["logs", &pod.name, "-c", "linux"]).finish().stdout;
        log.contains("hello from wasm http").then_some(())
    });
}

fn init_containers_run_one_after_the_other(space: &Namespace, kind: Kind) {
    let write = |name: &str, kind: Kind| {
        let path = format!("/shared/{name}");
        let linux = format!("echo {name} >{path}");
        let words = kind.either(vec!["/files.wasm", "write", &path, name], vec!["sh", "-c", &linux]);
        let mut one = container(name, kind, &words);
        one["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/shared" }]);
        one
    };
    let list = kind.either(vec!["/files.wasm", "list", "/shared"], vec!["ls", "/shared"]);
    let linux = if kind == Kind::Wasm { Kind::Linux } else { kind };
    let pod = space.pod_with(kind, &list, |pod| {
        pod["spec"]["volumes"] = json!([{ "name": "shared", "emptyDir": {} }]);
        pod["spec"]["initContainers"] = json!([write("first", kind), write("second", linux)]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "shared", "mountPath": "/shared" }]);
    });
    assert_eq!(pod.ended(), 0);
    let log = pod.logs();
    assert!(log.contains("first") && log.contains("second"), "{log}");
}

fn a_native_sidecar_ends_after_the_program(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &hello(kind), |pod| {
        let mut sidecar = container("sidecar", kind, &kind.sleeper());
        sidecar["restartPolicy"] = json!("Always");
        pod["spec"]["initContainers"] = json!([sidecar]);
    });
    assert_eq!(pod.ended(), 0);
    let ended = pod.get().pointer("/status/initContainerStatuses/0/state/terminated").cloned();
    assert!(ended.is_some(), "{}", pod.get()["status"]);
}

fn processes_of_a_pod_are_shared_when_asked_for(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        pod["spec"]["shareProcessNamespace"] = json!(true);
        let other = container("other", Kind::Linux, &["sleep", "600"]);
        pod["spec"]["containers"].as_array_mut().expect("containers").push(other);
    });
    let pod = pod.ready();
    let seen = space.kubectl(["exec", &pod.name, "-c", "other", "--", "ps", "-o", "args"]).run().stdout;
    assert!(seen.contains("/pause"), "{seen}");
    assert!(seen.contains(kind.either("/sleep.wasm 600", "sleep 600")), "{seen}");
}

fn write_message(kind: Kind) -> Vec<&'static str> {
    let linux = vec!["sh", "-c", "printf 'all is well' >/dev/termination-log"];
    kind.either(vec!["/files.wasm", "write", "/dev/termination-log", "all is well"], linux)
}

fn a_termination_message_is_told(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &write_message(kind));
    assert_eq!(pod.ended_as()["message"].as_str().map(str::trim), Some("all is well"));
}

fn the_end_of_the_log_is_the_message_when_asked_for(space: &Namespace, kind: Kind) {
    let trap = kind.either(vec!["/trap.wasm", "unreachable"], vec!["sh", "-c", "echo it trapped >&2; exit 1"]);
    let pod = space.pod_with(kind, &trap, |pod| {
        pod["spec"]["containers"][0]["terminationMessagePolicy"] = json!("FallbackToLogsOnError");
    });
    let state = pod.ended_as();
    assert!(state["message"].as_str().is_some_and(|message| message.contains("trapped")), "{state}");
}

fn many_containers_are_in_one_pod(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        let more = (1..10).map(|nth| container(&format!("more-{nth}"), kind, &kind.sleeper()));
        pod["spec"]["containers"].as_array_mut().expect("containers").extend(more);
    });
    pod.ready();
}

fn a_program_that_does_not_end_is_killed_after_its_grace(space: &Namespace, kind: Kind) {
    // A module ends at SIGTERM unless it reads its signals.
    let words = kind.either(vec!["/busy.wasm"], vec!["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    let pod = space.pod_with(kind, &words, |pod| {
        pod["metadata"]["annotations"] = json!({ "io.wasmedge.signals": "TERM" });
        pod["spec"]["terminationGracePeriodSeconds"] = json!(3);
    });
    let pod = pod.ready();
    let took = pod.delete().as_secs_f64();
    assert!((2.5..20.0).contains(&took), "it took {took} s");
}
