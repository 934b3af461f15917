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

use super::no_shim_is_left;

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
    // Not this test, its client of CRI and the engine host, which is the node's.
    let ours = |process: &Process| {
        let others = process.name.starts_with("crictl") || process.command.contains("wasmedge-engine host");
        !others && process.pid != std::process::id().cast_signed()
    };
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
    no_shim_is_left();
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
    no_shim_is_left();
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
    assert_eq!(lines(&scene, HANDLER, script, |_| ()), lines(&scene, "wasmedge", script, |_| ()));
    let pod = pod(&scene, HANDLER, &apart());
    let write = run(&pod, Kind::Linux, &apart(), &["sh", "-c", "echo shared > /dev/shm/file"]);
    assert_eq!(write.wait(), 0);
    let read = pod.container_with(Kind::Linux, &["cat", "/dev/shm/file"], |container| {
        container["metadata"]["attempt"] = json!(1);
        with(&mut container["linux"], &apart());
    });
    assert_eq!(read.wait(), 0);
    read.logs().prints("shared\n");
}

/// Asks for namespaces.
fn namespaces(namespaces: Value) -> impl Fn(&mut Value) {
    move |pod| with(&mut pod["linux"], &namespaces)
}

/// The node's namespaces of these kinds.
fn of_the_node<const N: usize>(kinds: [&str; N]) -> [String; N] {
    let own = Process::of(std::process::id().cast_signed()).unwrap();
    kinds.map(|kind| own.namespace(kind).unwrap())
}

const NAMESPACES: &str = "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done; hostname";

#[test]
fn ipc_and_processes_of_the_node_are_those_of_the_pod_that_asks_for_them() {
    let scene = Scene::new();
    let change = namespaces(json!({ "pid": OF_NODE, "ipc": OF_NODE }));
    let said = lines(&scene, HANDLER, NAMESPACES, &change);
    let [net, ipc, uts, pid] = of_the_node(["net", "ipc", "uts", "pid"]);
    assert_eq!((&said[1], &said[3]), (&ipc, &pid));
    assert!(said[0] != net && said[2] != uts, "{said:?}");
    as_under_runc(&scene, "ls -A /dev/shm; grep ' /dev/shm ' /proc/mounts", change);
}

#[test]
#[ignore = "containerd before 2.3 ends when it is asked for such a pod; run by test/e2e/versions"]
fn the_network_of_the_node_is_that_of_the_pod_that_asks_for_it() {
    let scene = Scene::new();
    let [net, ipc, uts] = of_the_node(["net", "ipc", "uts"]);
    // The host name goes with the network.
    let change = namespaces(json!({ "network": OF_NODE, "pid": OF_CONTAINER }));
    let said = lines(&scene, HANDLER, NAMESPACES, change);
    assert_eq!((&said[0], &said[2]), (&net, &uts));
    assert_ne!(said[1], ipc);
    as_under_runc(&scene, NAMESPACES, namespaces(json!({ "network": OF_NODE, "pid": OF_NODE, "ipc": OF_NODE })));
}

const USERS: &str = "cat /proc/self/uid_map | tr -s ' '; echo x > /dev/shm/x; ls -ln /dev/shm/x | tr -s ' ' | cut -d' ' -f3,4; \
                     echo more >> /etc/hosts && tail -n1 /etc/hosts; cat /proc/sys/kernel/shmmni";

/// A user namespace, as CRI asks for it.
fn users() -> Value {
    let mapping = json!([{ "host_id": 200_000, "container_id": 0, "length": 65_536 }]);
    json!({ "mode": 0, "uids": mapping, "gids": mapping })
}

#[track_caller]
fn has_its_users(scene: &Scene, namespaces: &Value) {
    let said = lines(scene, HANDLER, USERS, |pod| {
        pod["linux"]["sysctls"] = json!({ "kernel.shmmni": "55" });
        with(&mut pod["linux"], namespaces);
    });
    assert_eq!((said[0].trim(), &*said[1], &*said[2], &*said[3]), ("0 200000 65536", "0 0", "more", "55"), "{said:?}");
}

#[test]
fn a_pod_has_users_of_its_own_where_it_asks_for_them() {
    let scene = Scene::new();
    has_its_users(&scene, &json!({ "pid": OF_CONTAINER, "userns_options": users() }));
    has_its_users(&scene, &json!({ "userns_options": users() }));
    let namespaces = json!({ "pid": OF_CONTAINER, "userns_options": users() });
    let pod = pod(&scene, HANDLER, &namespaces);
    let wasm = run(&pod, Kind::Wasm, &namespaces, &["/sleep.wasm", "600"]);
    wasm.says("sleeping");
    assert!(wasm.init().status("Uid").starts_with("200000"), "{}", wasm.init().status("Uid"));
}

#[test]
#[ignore = "containerd before 2.3 ends when it is asked for such a pod; run by test/e2e/versions"]
fn a_pod_has_users_of_its_own_in_the_network_of_the_node() {
    has_its_users(&Scene::new(), &json!({ "pid": OF_CONTAINER, "network": OF_NODE, "userns_options": users() }));
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
