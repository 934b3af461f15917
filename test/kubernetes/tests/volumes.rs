//! Volumes of every kind that one machine has.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds};
use serde_json::{Value, json};

use crate::support::reader;

for_kinds! {
    a_config_map_is_read_and_its_update_is_seen;
    a_secret_is_read_by_its_owner_only;
    files_of_a_pod_s_own_are_on_disk_or_in_memory;
    a_directory_and_a_file_of_the_node_are_mounted;
    a_token_and_facts_about_the_pod_are_files;
    a_part_of_a_volume_is_mounted;
    a_volume_that_is_read_only_is_not_written_to;
    an_image_is_a_volume;
    the_service_account_s_token_is_there;
    a_group_owns_the_volume;
    a_module_comes_from_a_config_map: Wasm;
    a_volume_that_grows_too_large_evicts_its_pod: Wasm Runc;
}

const MINUTES: Duration = Duration::from_secs(150);

fn mount(pod: &mut Value, volume: Value, mount: Value) {
    let mut volume = volume;
    volume["name"] = json!("it");
    let mut mount = mount;
    mount["name"] = json!("it");
    pod["spec"]["volumes"] = json!([volume]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
}

fn config_map(space: &Namespace, text: &str) -> Value {
    let map =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "map" }, "data": { "file": text } });
    space.create(&map)
}

fn a_config_map_is_read_and_its_update_is_seen(space: &Namespace, kind: Kind) {
    config_map(space, "first");
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        mount(pod, json!({ "configMap": { "name": "map" } }), json!({ "mountPath": "/it" }));
    });
    let pod = pod.ready();
    assert_eq!(pod.exec(reader(kind, "/it/file")).run().stdout.trim(), "first");
    space.patch("v1", "ConfigMap", "map", &json!({ "data": { "file": "second" } }));
    space.wait(MINUTES, "the update", || {
        (pod.exec(reader(kind, "/it/file")).run().stdout.trim() == "second").then_some(())
    });
}

fn a_secret_is_read_by_its_owner_only(space: &Namespace, kind: Kind) {
    space.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys" }, "stringData": { "key": "s3cret" },
    }));
    let with_user = |user: u32| {
        let pod = space.pod_with(kind, &reader(kind, "/it/key"), |pod| {
            let volume = json!({ "secret": { "secretName": "keys", "defaultMode": 0o400 } });
            mount(pod, volume, json!({ "mountPath": "/it", "readOnly": true }));
            pod["spec"]["securityContext"] = json!({ "runAsUser": user });
        });
        (pod.ended(), pod.logs())
    };
    assert_eq!(with_user(0), (0, "s3cret".into()));
    let (code, log) = with_user(1000);
    assert_eq!(code, 1);
    assert!(log.contains("ermission denied"), "{log}");
}

fn write_and_read(kind: Kind, path: &str) -> Vec<String> {
    let linux = format!("echo text >{path} && cat {path} && stat -f -c %T {path}");
    match kind {
        Kind::Wasm => ["/files.wasm", "write", path, "text"].map(String::from).to_vec(),
        _ => ["sh", "-c", &linux].map(String::from).to_vec(),
    }
}

fn files_of_a_pod_s_own_are_on_disk_or_in_memory(space: &Namespace, kind: Kind) {
    for medium in ["", "Memory"] {
        let words = write_and_read(kind, "/it/file");
        let pod = space.pod_with(kind, &crate::support::words(&words), |pod| {
            let volume = json!({ "emptyDir": { "medium": medium, "sizeLimit": "4Mi" } });
            mount(pod, volume, json!({ "mountPath": "/it" }));
        });
        assert_eq!(pod.ended(), 0, "{}", pod.logs());
    }
}

fn a_directory_and_a_file_of_the_node_are_mounted(space: &Namespace, kind: Kind) {
    let folder = format!("/tmp/{}", space.name());
    fs::create_dir(&folder).expect("a directory");
    fs::write(format!("{folder}/file"), "of the node").expect("a file");
    for (path, kind_of_path, target) in
        [(folder.clone(), "Directory", "/it"), (format!("{folder}/file"), "File", "/it/file")]
    {
        let pod = space.pod_with(kind, &reader(kind, "/it/file"), |pod| {
            let volume = json!({ "hostPath": { "path": path, "type": kind_of_path } });
            mount(pod, volume, json!({ "mountPath": target }));
        });
        assert_eq!((pod.ended(), pod.logs().trim()), (0, "of the node"));
    }
    fs::remove_dir_all(&folder).expect("removing the directory");
}

fn a_token_and_facts_about_the_pod_are_files(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        let token =
            json!({ "serviceAccountToken": { "path": "token", "audience": "somebody", "expirationSeconds": 600 } });
        let facts = json!({ "downwardAPI": { "items": [
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } }] } });
        mount(pod, json!({ "projected": { "sources": [token, facts] } }), json!({ "mountPath": "/it" }));
    });
    let pod = pod.ready();
    let token = pod.exec(reader(kind, "/it/token")).run().stdout;
    assert_eq!(token.split('.').count(), 3, "{token}");
    let labels = pod.exec(reader(kind, "/it/labels")).run().stdout;
    assert!(labels.contains(&pod.name), "{labels}");
}

fn a_part_of_a_volume_is_mounted(space: &Namespace, kind: Kind) {
    config_map(space, "text");
    let pod = space.pod_with(kind, &reader(kind, "/etc/settings"), |pod| {
        let mount_point = json!({ "mountPath": "/etc/settings", "subPath": "file" });
        mount(pod, json!({ "configMap": { "name": "map" } }), mount_point);
    });
    assert_eq!((pod.ended(), pod.logs().trim()), (0, "text"));
    let words = write_and_read(kind, "/it/file");
    let pod = space.pod_with(kind, &crate::support::words(&words), |pod| {
        let name = json!({ "name": "POD", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } });
        pod["spec"]["containers"][0]["env"] = json!([name]);
        mount(pod, json!({ "emptyDir": {} }), json!({ "mountPath": "/it", "subPathExpr": "of-$(POD)" }));
    });
    assert_eq!(pod.ended(), 0);
}

fn a_volume_that_is_read_only_is_not_written_to(space: &Namespace, kind: Kind) {
    let words = write_and_read(kind, "/it/file");
    let pod = space.pod_with(kind, &crate::support::words(&words), |pod| {
        mount(pod, json!({ "emptyDir": {} }), json!({ "mountPath": "/it", "readOnly": true }));
    });
    assert_eq!(pod.ended(), 1);
    assert!(pod.logs().contains("ead-only file system"), "{}", pod.logs());
}

fn an_image_is_a_volume(space: &Namespace, kind: Kind) {
    let list = kind.either(vec!["/files.wasm", "list", "/it"], vec!["ls", "/it"]);
    let pod = space.pod_with(kind, &list, |pod| {
        let volume = json!({ "image": { "reference": "localhost/wasm:latest", "pullPolicy": "Never" } });
        mount(pod, volume, json!({ "mountPath": "/it" }));
    });
    assert_eq!(pod.ended(), 0, "{}", pod.logs());
    assert!(pod.logs().contains("hello.wasm"), "{}", pod.logs());
}

fn the_service_account_s_token_is_there(space: &Namespace, kind: Kind) {
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    let pod = space.pod(kind, &kind.sleeper()).ready();
    let namespace = pod.exec(reader(kind, &format!("{folder}/namespace"))).run().stdout;
    assert_eq!(namespace, space.name());
    let authority = pod.exec(reader(kind, &format!("{folder}/ca.crt"))).run().stdout;
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
}

fn a_group_owns_the_volume(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        mount(pod, json!({ "emptyDir": {} }), json!({ "mountPath": "/it" }));
        pod["spec"]["securityContext"] = json!({ "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000 });
    });
    let pod = pod.ready();
    pod.exec(write_and_read(kind, "/it/file")).run();
    let uid = pod.get()["metadata"]["uid"].as_str().expect("a uid").to_owned();
    let file = format!("/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/it/file");
    let meta = fs::metadata(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert_eq!((meta.uid(), meta.gid()), (1000, 2000));
}

fn a_module_comes_from_a_config_map(space: &Namespace, kind: Kind) {
    // `(module (memory (export "memory") 1) (func (export "_start")))`
    let module = "AGFzbQEAAAABBAFgAAADAgEABQMBAAEHEwIGbWVtb3J5AgAGX3N0YXJ0AAAKBAECAAs=";
    space.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "module" }, "binaryData": { "it.wasm": module },
    }));
    let pod = space.pod_with(kind, &["/it/it.wasm"], |pod| {
        mount(pod, json!({ "configMap": { "name": "module", "defaultMode": 0o555 } }), json!({ "mountPath": "/it" }));
    });
    assert_eq!(pod.ended(), 0, "{}", pod.logs());
}

fn a_volume_that_grows_too_large_evicts_its_pod(space: &Namespace, kind: Kind) {
    let linux = "dd if=/dev/zero of=/it/file bs=1M count=8; exec sleep 600";
    let words = kind.either(vec!["/sleep.wasm", "600"], vec!["sh", "-c", linux]);
    let pod = space.pod_with(kind, &words, |pod| {
        mount(pod, json!({ "emptyDir": { "sizeLimit": "2Mi" } }), json!({ "mountPath": "/it" }));
    });
    if kind == Kind::Wasm {
        let pod = space
            .wait(Duration::from_secs(60), "the pod", || kubernetes_tests::pod::is_ready(&pod.get()).then_some(&pod));
        pod.exec(["/fill.wasm", "/it/file", "8"]).run();
    }
    space.wait(MINUTES, "its eviction", || (pod.get()["status"]["reason"] == "Evicted").then_some(()));
}
