//! Pods that the shim holds itself (`sandboxer = "shim"`): what they have is what a pod under runc has, and no process that
//! nobody asked for.

mod ends;
mod first_process;

use e2e::{
    Kind, Scene,
    cri::{Container, Pod, crictl},
    engine,
    process::Process,
};
use serde_json::{Value, json};

/// The handler whose pods are held by the shim.
const HANDLER: &str = "wasmedge-sandbox";

/// The modes of `runtime.v1.NamespaceMode`.
const OF_CONTAINER: u32 = 1;
const OF_NODE: u32 = 2;

/// Namespaces of a pod whose containers do not see each other's processes, as Kubernetes has it unless told otherwise.
fn apart() -> Value {
    json!({ "pid": OF_CONTAINER })
}

/// A pod with these namespaces.
fn pod(scene: &Scene, handler: &str, namespaces: &Value) -> Pod {
    scene.pod_under(handler, |pod| with(&mut pod["linux"], namespaces))
}

fn with(linux: &mut Value, namespaces: &Value) {
    linux["security_context"] = json!({ "namespace_options": namespaces });
}

/// One more container of a pod with these namespaces.
fn run(pod: &Pod, kind: Kind, namespaces: &Value, words: &[&str]) -> Container {
    pod.container_with(kind, words, |container| with(&mut container["linux"], namespaces))
}

/// What a script says in a pod of its own, line by line.
fn lines(scene: &Scene, handler: &str, script: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut namespaces = json!({});
    let pod = scene.pod_under(handler, |pod| {
        change(pod);
        namespaces = pod["linux"]["security_context"]["namespace_options"].take();
        with(&mut pod["linux"], &namespaces);
    });
    let kind = if handler == "runc" { Kind::Runc } else { Kind::Linux };
    let container = run(&pod, kind, &namespaces, &["sh", "-c", script]);
    assert_eq!(container.wait(), 0, "{}", container.logs());
    let lines = container.logs().stdout.lines().map(str::to_owned).collect();
    pod.stop();
    pod.remove();
    lines
}

/// A script says the same in a pod of ours as in one of runc's.
#[track_caller]
fn as_under_runc(scene: &Scene, script: &str, change: impl Fn(&mut Value)) -> Vec<String> {
    let (here, there) = (lines(scene, HANDLER, script, &change), lines(scene, "runc", script, &change));
    assert!(!there.is_empty(), "nothing to compare");
    assert_eq!(here, there);
    here
}

/// Processes that were not there before.
fn new_since(before: &[Process]) -> Vec<String> {
    let known = |process: &Process| before.iter().any(|old| (old.pid, old.start) == (process.pid, process.start));
    let new = Process::all().into_iter().filter(|process| process.state != 'Z' && !known(process));
    let ours =
        |process: &Process| !process.name.starts_with("crictl") && process.pid != std::process::id().cast_signed();
    new.filter(ours).map(|process| process.command).collect()
}

#[test]
fn a_pod_has_no_process_but_its_shim_and_its_containers() {
    let scene = Scene::new();
    let before = Process::all();
    let pod = pod(&scene, HANDLER, &apart());
    let made = new_since(&before);
    assert!(made.len() == 1 && made[0].contains("containerd-shim-wasmedge-v1"), "{made:?}");
    let wasm = run(&pod, Kind::Wasm, &apart(), &["/sleep.wasm", "600"]);
    let linux = run(&pod, Kind::Linux, &apart(), &["sleep", "600"]);
    wasm.says("sleeping");
    assert_eq!(new_since(&before).len(), 3, "{:?}", new_since(&before));
    let (wasm, linux) = (wasm.init(), linux.init());
    for kind in ["net", "ipc", "uts"] {
        let namespace = wasm.namespace(kind).unwrap();
        assert_eq!(namespace, linux.namespace(kind).unwrap(), "{kind}");
        assert_ne!(namespace, engine::shims()[0].namespace(kind).unwrap(), "{kind}");
    }
    assert_ne!(wasm.namespace("pid").unwrap(), linux.namespace("pid").unwrap());
    pod.stop();
    pod.remove();
    assert_eq!(engine::shims(), []);
}

/// Regression test: a descriptor of a namespace that a process keeps is a way into it.
#[test]
fn a_container_holds_no_namespace_of_its_pod_open() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let wasm = run(&pod, Kind::Wasm, &json!({}), &["/sleep.wasm", "600"]);
    wasm.says("sleeping");
    let linux = run(&pod, Kind::Linux, &json!({}), &["sleep", "600"]);
    for container in [wasm, linux] {
        let open = container.init().descriptors();
        let is_namespace =
            |target: &str| ["net:", "ipc:", "uts:", "pid:", "user:"].iter().any(|kind| target.starts_with(kind));
        assert!(open.iter().all(|(_, target)| !is_namespace(target)), "{open:?}");
    }
}

#[test]
fn names_and_name_servers_are_as_under_runc() {
    let scene = Scene::new();
    let script = "hostname; cat /etc/hostname /etc/resolv.conf; tail -n1 /etc/hosts; ls -l /etc/hostname | cut -c1-10";
    let named = as_under_runc(&scene, script, |pod| {
        pod["hostname"] = json!("some-pod");
        pod["dns_config"] =
            json!({ "servers": ["10.1.2.3"], "searches": ["a.test", "b.test"], "options": ["ndots:5"] });
    });
    assert_eq!(named[..3], ["some-pod", "some-pod", "search a.test b.test"]);
    as_under_runc(&scene, script, |_| ());
}

#[test]
fn kernel_parameters_are_as_under_runc() {
    let scene = Scene::new();
    let script = "cd /proc/sys; cat net/core/somaxconn kernel/shmmni net/ipv4/ip_unprivileged_port_start \
                  net/ipv4/ping_group_range";
    let set = as_under_runc(&scene, script, |pod| {
        pod["linux"]["sysctls"] = json!({ "net.core.somaxconn": "77", "kernel.shmmni": "55" });
    });
    assert_eq!(set[..3], ["77", "55", "0"]);
}

#[test]
fn a_kernel_parameter_of_the_node_is_refused_and_nothing_is_left() {
    let scene = Scene::new();
    let refused = refusal(&scene, |pod| pod["linux"]["sysctls"] = json!({ "kernel.core_pattern": "x" }));
    assert!(refused.contains("kernel.core_pattern") && refused.contains("pod's own namespaces"), "{refused}");
    let refused = refusal(&scene, |pod| pod["linux"]["sysctls"] = json!({ "net.core.nonsense": "1" }));
    assert!(refused.contains("/proc/sys/net/core/nonsense"), "{refused}");
    assert_eq!(engine::shims(), []);
}

/// What `crictl runp` says that fails.
fn refusal(scene: &Scene, change: impl FnOnce(&mut Value)) -> String {
    let name = scene.name();
    let mut pod = json!({
        "metadata": { "name": name, "uid": name, "namespace": "e2e", "attempt": 0 },
        "linux": { "cgroup_parent": "/k8s.io" },
    });
    change(&mut pod);
    let config = scene.directory().join("refused.json");
    std::fs::write(&config, pod.to_string()).unwrap();
    crictl(["runp", "--runtime", HANDLER]).arg(config.display().to_string()).finish().fails().stderr
}

#[test]
fn shared_memory_is_the_pod_s() {
    let scene = Scene::new();
    let script = "grep ' /dev/shm ' /proc/mounts; stat -c '%a %u %g' /dev/shm";
    as_under_runc(&scene, script, |_| ());
    let pod = pod(&scene, HANDLER, &apart());
    let write = run(&pod, Kind::Linux, &apart(), &["sh", "-c", "echo shared > /dev/shm/file"]);
    assert_eq!(write.wait(), 0);
    let read = run(&pod, Kind::Linux, &apart(), &["cat", "/dev/shm/file"]);
    assert_eq!(read.wait(), 0);
    read.logs().prints("shared\n");
}

#[test]
fn the_node_s_namespaces_are_as_under_runc() {
    let scene = Scene::new();
    let script = "for kind in net ipc uts; do readlink /proc/self/ns/$kind; done; hostname";
    let node = |namespaces: Value| move |pod: &mut Value| with(&mut pod["linux"], &namespaces);
    let all = as_under_runc(&scene, &format!("{script}; readlink /proc/self/ns/pid; cat /dev/shm/none || true"), {
        node(json!({ "network": OF_NODE, "pid": OF_NODE, "ipc": OF_NODE }))
    });
    let own = Process::of(std::process::id().cast_signed()).unwrap();
    let kinds = ["net", "ipc", "uts"].map(|kind| own.namespace(kind).unwrap());
    assert_eq!(all[..3], kinds);
    assert!(all.contains(&own.namespace("pid").unwrap()), "{all:?}");
    // The host name goes with the network.
    let only_net = lines(&scene, HANDLER, script, node(json!({ "network": OF_NODE, "pid": OF_CONTAINER })));
    assert_eq!((&only_net[0], &only_net[2]), (&kinds[0], &kinds[2]));
    assert_ne!(only_net[1], kinds[1]);
}

#[test]
fn a_pod_has_users_of_its_own_where_it_asks_for_them() {
    let scene = Scene::new();
    let mapping = json!([{ "host_id": 200_000, "container_id": 0, "length": 65_536 }]);
    let users = json!({ "mode": 0, "uids": mapping, "gids": mapping });
    let script = "cat /proc/self/uid_map | tr -s ' '; hostname; echo x > /dev/shm/x; ls -ln /dev/shm/x | tr -s ' ' | cut -d' ' -f3,4; \
                  echo more >> /etc/hosts && tail -n1 /etc/hosts; cat /proc/sys/kernel/shmmni";
    for namespaces in [
        json!({ "pid": OF_CONTAINER, "userns_options": users }),
        json!({ "userns_options": users }),
        json!({ "pid": OF_CONTAINER, "network": OF_NODE, "userns_options": users }),
    ] {
        let said = lines(&scene, HANDLER, script, |pod| {
            pod["linux"]["sysctls"] = json!({ "kernel.shmmni": "55" });
            with(&mut pod["linux"], &namespaces);
        });
        assert_eq!(
            (said[0].trim(), &*said[2], &*said[3], &*said[4]),
            ("0 200000 65536", "0 0", "more", "55"),
            "{said:?}"
        );
    }
    let namespaces = json!({ "pid": OF_CONTAINER, "userns_options": users });
    let pod = pod(&scene, HANDLER, &namespaces);
    let wasm = run(&pod, Kind::Wasm, &namespaces, &["/sleep.wasm", "600"]);
    wasm.says("sleeping");
    assert!(wasm.init().status("Uid").starts_with("200000"), "{}", wasm.init().status("Uid"));
}

#[test]
fn the_annotations_of_a_pod_are_heeded_whatever_containerd_passes_on() {
    let scene = Scene::new();
    for handler in [HANDLER, "wasmedge-sandbox-found"] {
        let pod = scene.pod_under(handler, |pod| pod["annotations"] = json!({ "io.wasmedge.gas-limit": "1000" }));
        let stopped = pod.container(Kind::Wasm, &["/busy.wasm"]);
        assert_ne!(stopped.wait(), 0);
        assert!(stopped.logs().stderr.contains("gas"), "{handler}: {}", stopped.logs());
    }
}

#[test]
fn the_stats_of_a_pod_have_its_memory_and_its_network() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &apart());
    run(&pod, Kind::Wasm, &apart(), &["/sleep.wasm", "600"]).says("sleeping");
    let stats = crictl(["statsp", "-o", "json", &pod.id]).run();
    let stats: Value = serde_json::from_str(&stats.stdout).unwrap();
    let linux = &stats["stats"][0]["linux"];
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    assert!(number(&linux["memory"]["workingSetBytes"]["value"]) > 0, "{linux}");
    assert_eq!(linux["network"]["defaultInterface"]["name"], "eth0", "{linux}");
}
