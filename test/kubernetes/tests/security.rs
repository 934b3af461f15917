//! What a pod may and may not do.

use std::time::Duration;

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds, pod};
use serde_json::{Value, json};

use crate::support::{hello, reader};

for_kinds! {
    a_restricted_pod_runs;
    a_restricted_namespace_takes_restricted_pods_only;
    a_pod_that_must_not_be_root_is_refused_as_root;
    users_groups_and_capabilities_are_as_asked_for;
    a_root_that_is_read_only_is_not_written_to;
    a_seccomp_profile_of_the_node_is_kept_to: Linux Runc;
    a_seccomp_profile_that_is_missing_is_named;
    kernel_parameters_of_a_pod_are_set;
    namespaces_of_the_node_are_shared_when_asked_for;
    a_low_port_is_listened_on_by_a_user: Wasm Runc;
    users_of_a_pod_are_nobody_on_the_node;
    a_mount_is_read_only_to_its_depth;
    a_privileged_pod_runs;
    a_pod_without_a_token_has_none;
}

const MINUTE: Duration = Duration::from_secs(60);

fn restricted(pod: &mut Value) {
    pod["spec"]["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [3000],
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    pod["spec"]["containers"][0]["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
    });
}

fn a_restricted_pod_runs(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &hello(kind), restricted);
    assert_eq!(pod.ended(), 0, "{}", pod.logs());
}

fn a_restricted_namespace_takes_restricted_pods_only(space: &Namespace, kind: Kind) {
    let label = "pod-security.kubernetes.io/enforce=restricted";
    e2e::command("kubectl").args(["label", "namespace", space.name(), label]).run();
    let refused = space.try_create(&pod::object("plain", kind, &hello(kind))).expect_err("a plain pod");
    assert!(refused.message.contains("violates PodSecurity"), "{}", refused.message);
    let pod = space.pod_with(kind, &hello(kind), restricted);
    assert_eq!(pod.ended(), 0);
}

fn a_pod_that_must_not_be_root_is_refused_as_root(space: &Namespace, kind: Kind) {
    let pod =
        space.pod_with(kind, &hello(kind), |pod| pod["spec"]["securityContext"] = json!({ "runAsNonRoot": true }));
    pod.event(&["runAsNonRoot"]);
}

/// The lines about rights of the program's `/proc/PID/status`, which a module does not see itself.
fn rights(space: &Namespace, kind: Kind, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let pod = space.pod_with(kind, &kind.sleeper(), change).ready();
    let status = std::fs::read_to_string(format!("/proc/{}/status", pod.init().pid)).expect("its status");
    let known =
        ["Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"];
    let is_one = |line: &&str| known.iter().any(|name| line.starts_with(name));
    status.lines().filter(is_one).map(|line| line.trim().to_owned()).collect()
}

fn users_groups_and_capabilities_are_as_asked_for(space: &Namespace, kind: Kind) {
    let changes: [fn(&mut Value); 3] = [
        restricted,
        |pod| {
            pod["spec"]["securityContext"] =
                json!({ "runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [5, 6] });
            pod["spec"]["containers"][0]["securityContext"] = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        },
        |pod| {
            let capabilities = json!({ "add": ["NET_ADMIN"], "drop": ["MKNOD", "CHOWN"] });
            pod["spec"]["containers"][0]["securityContext"] =
                json!({ "capabilities": capabilities, "seccompProfile": { "type": "RuntimeDefault" } });
        },
    ];
    for change in changes {
        let (ours, runc) = (rights(space, kind, change), rights(space, Kind::Runc, change));
        // A module has none of root's rights, whatever it may have, and a filter of its own.
        let plain = |lines: Vec<String>| -> Vec<String> {
            lines
                .into_iter()
                .filter(|line| kind != Kind::Wasm || !line.starts_with("Cap") && !line.starts_with("NoNew"))
                .collect()
        };
        assert_eq!(plain(ours), plain(runc));
    }
}

fn a_root_that_is_read_only_is_not_written_to(space: &Namespace, kind: Kind) {
    let words = kind.either(vec!["/files.wasm", "write", "/file", "text"], vec!["sh", "-c", "echo text >/file"]);
    let pod = space.pod_with(kind, &words, |pod| {
        pod["spec"]["containers"][0]["securityContext"] = json!({ "readOnlyRootFilesystem": true });
    });
    assert_eq!(pod.ended(), 1);
    assert!(pod.logs().contains("ead-only file system"), "{}", pod.logs());
}

fn profile(pod: &mut Value, name: &str) {
    let profile = json!({ "type": "Localhost", "localhostProfile": name });
    pod["spec"]["containers"][0]["securityContext"] = json!({ "seccompProfile": profile });
}

fn a_seccomp_profile_of_the_node_is_kept_to(space: &Namespace, kind: Kind) {
    let (name, folder) = (format!("{}.json", space.name()), "/var/lib/kubelet/seccomp");
    let rule = json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 });
    let text = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string();
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(format!("{folder}/{name}"), text)).expect("a profile");
    let pod = space.pod_with(kind, &["mkdir", "/tmp/new"], |pod| profile(pod, &name));
    assert_eq!(pod.ended(), 1);
    assert!(pod.logs().contains("Operation not permitted"), "{}", pod.logs());
    std::fs::remove_file(format!("{folder}/{name}")).expect("removing the profile");
}

fn a_seccomp_profile_that_is_missing_is_named(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &hello(kind), |pod| profile(pod, "nothing.json"));
    pod.event(&["nothing.json"]);
}

fn kernel_parameters_of_a_pod_are_set(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        let sysctl = json!({ "name": "net.ipv4.ip_unprivileged_port_start", "value": "80" });
        pod["spec"]["securityContext"] = json!({ "sysctls": [sysctl] });
    });
    let network = format!("--net=/proc/{}/ns/net", pod.ready().init().pid);
    let read = e2e::command("nsenter").args([&network, "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"]).run();
    assert_eq!(read.stdout.trim(), "80");
}

fn a_low_port_is_listened_on_by_a_user(space: &Namespace, kind: Kind) {
    let linux = "echo hello >/tmp/index.html; exec httpd -f -p 80 -h /tmp";
    let words = kind.either(vec!["/http.wasm", "80"], vec!["sh", "-c", linux]);
    let pod = space.pod_with(kind, &words, |pod| pod["spec"]["securityContext"] = json!({ "runAsUser": 1000 }));
    let pod = pod.ready();
    space.wait(MINUTE, "an answer", || pod::get(&pod.address(), 80, "/").stdout.contains("hello").then_some(()));
}

fn namespaces_of_the_node_are_shared_when_asked_for(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        pod["spec"]["hostPID"] = json!(true);
        pod["spec"]["hostIPC"] = json!(true);
    });
    let pod = pod.ready();
    let init = pod.init();
    for name in ["pid", "ipc"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{name}")).expect("a namespace");
        assert_eq!(init.namespace(name).expect("its namespace"), own.to_string_lossy(), "{name}");
    }
}

/// F6.
fn users_of_a_pod_are_nobody_on_the_node(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        pod["spec"]["hostUsers"] = json!(false);
        all_that_containerd_asks_for(pod, kind);
    });
    let map = std::fs::read_to_string(format!("/proc/{}/uid_map", pod.ready().init().pid)).expect("its users");
    let map: Vec<u64> = map.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(map.len() == 3 && map[0] == 0 && map[1] > 0 && map[2] == 65536, "{map:?}");
}

/// containerd before 2.2 asks only runc's own type what it is able to do: `install` writes a handler like this one for these.
fn all_that_containerd_asks_for(pod: &mut Value, kind: Kind) {
    if kind != Kind::Runc {
        pod["spec"]["runtimeClassName"] = json!("wasmedge-path");
    }
}

/// F6.
fn a_mount_is_read_only_to_its_depth(space: &Namespace, kind: Kind) {
    let words = kind.either(vec!["/files.wasm", "write", "/it/file", "text"], vec!["sh", "-c", "echo text >/it/file"]);
    let pod = space.pod_with(kind, &words, |pod| {
        all_that_containerd_asks_for(pod, kind);
        pod["spec"]["volumes"] = json!([{ "name": "it", "emptyDir": {} }]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{ "name": "it", "mountPath": "/it", "readOnly": true, "recursiveReadOnly": "Enabled" }]);
    });
    assert_eq!(pod.ended(), 1);
    assert!(pod.logs().contains("ead-only file system"), "{}", pod.logs());
}

fn a_privileged_pod_runs(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &hello(kind), |pod| {
        pod["spec"]["containers"][0]["securityContext"] = json!({ "privileged": true });
    });
    assert_eq!(pod.ended(), 0);
}

fn a_pod_without_a_token_has_none(space: &Namespace, kind: Kind) {
    let path = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let pod =
        space.pod_with(kind, &reader(kind, path), |pod| pod["spec"]["automountServiceAccountToken"] = json!(false));
    assert_eq!(pod.ended(), 1);
    assert!(pod.logs().contains("o such file"), "{}", pod.logs());
}
