//! Requests and limits, and what becomes of who goes beyond them.

use std::time::Duration;

use e2e::{Kind, process::Process};
use kubernetes_tests::{Namespace, for_kinds, pod::Pod};
use serde_json::{Value, json};

for_kinds! {
    what_is_out_of_memory_is_told_so;
    a_limit_that_is_too_small_to_start_with_is_named: Wasm Runc;
    the_class_of_service_decides_where_a_pod_is;
    a_processor_limit_is_kept_to;
    limits_are_changed_without_a_restart;
    a_module_grows_to_a_limit_that_was_raised: Wasm;
    limits_of_the_whole_pod_hold: Wasm Runc;
    the_overhead_of_a_runtime_class_is_added;
    modules_that_are_compiled_at_once_start_all: Wasm;
}

const MINUTE: Duration = Duration::from_secs(60);

fn limit(pod: &mut Value, resources: Value) {
    pod["spec"]["containers"][0]["resources"] = json!({ "limits": resources });
}

/// Words that use this much memory.
fn user_of(kind: Kind, mebibytes: u32) -> Vec<String> {
    let linux = format!("head -c {mebibytes}m /dev/zero | tail | wc -c; sleep 600");
    match kind {
        Kind::Wasm => vec!["/memory.wasm".into(), mebibytes.to_string(), "600".into()],
        _ => vec!["sh".into(), "-c".into(), format!("{linux} # as one process: tail holds all of it")],
    }
}

/// F5: a module whose memory does not grow any more fails by itself, and is told as out of memory all the same.
fn what_is_out_of_memory_is_told_so(space: &Namespace, kind: Kind) {
    let words = user_of(kind, 256);
    let mut words = crate::support::words(&words);
    if kind != Kind::Wasm {
        words = vec!["tail", "/dev/zero"];
    }
    let pod = space.pod_with(kind, &words, |pod| limit(pod, json!({ "memory": "64Mi" })));
    let state = pod.ended_as();
    assert_eq!(state["reason"], "OOMKilled", "{state}");
    assert_eq!(state["exitCode"], kind.either(7, 137), "{state}");
}

/// F3, F8: the event says what the least is, or what killed it.
fn a_limit_that_is_too_small_to_start_with_is_named(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| limit(pod, json!({ "memory": "2Mi" })));
    let events = space.wait(MINUTE, "an event about the memory", || {
        let all = space.events(&pod.name);
        let told = |event: &String| event.contains("memory limit too low?") || event.contains("MiB of memory");
        all.iter().any(told).then_some(all)
    });
    assert!(!events.iter().any(|event| event.contains("BrokenChannel")), "{events:#?}");
}

fn the_class_of_service_decides_where_a_pod_is(space: &Namespace, kind: Kind) {
    for (class, resources) in [
        ("Guaranteed", json!({ "limits": { "cpu": "100m", "memory": "64Mi" } })),
        ("Burstable", json!({ "requests": { "cpu": "10m", "memory": "16Mi" } })),
        ("BestEffort", json!({})),
    ] {
        let pod = space.pod_with(kind, &kind.sleeper(), |pod| pod["spec"]["containers"][0]["resources"] = resources);
        let pod = pod.ready();
        assert_eq!(pod.get()["status"]["qosClass"], class);
        let cgroup = cgroup(&pod, "memory");
        let part =
            if class == "Guaranteed" { "/kubepods/pod".into() } else { format!("/kubepods/{}/", class.to_lowercase()) };
        assert!(cgroup.contains(&part), "{cgroup}");
    }
}

/// The path of its cgroup of a controller of version 1.
fn cgroup(pod: &Pod, controller: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", pod.init().pid)).expect("its cgroups");
    let line = text
        .lines()
        .find(|line| line.split(':').nth(1).is_some_and(|names| names.split(',').any(|name| name == controller)));
    line.and_then(|line| line.rsplit(':').next()).expect("its cgroup").to_owned()
}

fn setting(pod: &Pod, controller: &str, name: &str) -> String {
    let path = format!("/sys/fs/cgroup/{controller}{}/{name}", cgroup(pod, controller));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

fn a_processor_limit_is_kept_to(space: &Namespace, kind: Kind) {
    let words = kind.either(vec!["/busy.wasm"], vec!["sh", "-c", "while :; do :; done"]);
    let pod = space.pod_with(kind, &words, |pod| limit(pod, json!({ "cpu": "100m" }))).ready();
    assert_eq!(setting(&pod, "cpu", "cpu.cfs_quota_us"), "10000");
    space.wait(MINUTE, "it to be throttled", || {
        let stat = setting(&pod, "cpu", "cpu.stat");
        let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")?.parse::<u64>().ok());
        (throttled? > 3).then_some(())
    });
}

fn resize(space: &Namespace, pod: &Pod, cpu: &str, memory: &str) {
    let limits = json!({ "cpu": cpu, "memory": memory });
    let change = json!({ "spec": { "containers": [{ "name": "main", "resources": { "limits": limits, "requests": limits } }] } });
    let words = ["patch", "pod", &pod.name, "--subresource=resize", "--patch", &change.to_string()];
    space.kubectl(words).run();
    space.wait(MINUTE, "the new limits", || {
        let now = pod.get().pointer("/status/containerStatuses/0/resources/limits").cloned();
        (now.as_ref() == Some(&limits)).then_some(())
    });
}

fn limits_are_changed_without_a_restart(space: &Namespace, kind: Kind) {
    let limits = json!({ "cpu": "200m", "memory": "64Mi" });
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| limit(pod, limits)).ready();
    let before = pod.init().pid;
    for (cpu, memory, quota, bytes) in [("400m", "96Mi", "40000", "100663296"), ("100m", "48Mi", "10000", "50331648")] {
        resize(space, &pod, cpu, memory);
        assert_eq!(setting(&pod, "cpu", "cpu.cfs_quota_us"), quota);
        assert_eq!(setting(&pod, "memory", "memory.limit_in_bytes"), bytes);
    }
    assert_eq!((pod.init().pid, pod.restarts()), (before, 0));
}

fn a_module_grows_to_a_limit_that_was_raised(space: &Namespace, kind: Kind) {
    let pod = space.pod_with(kind, &["/memory.wasm", "-"], |pod| {
        limit(pod, json!({ "cpu": "500m", "memory": "64Mi" }));
        pod["spec"]["containers"][0]["stdin"] = json!(true);
    });
    let pod = pod.ready();
    let mut client = space.kubectl(["attach", "-i", "-q", &pod.name]).open_input().spawn();
    client.write("96\n");
    client.says("refused");
    resize(space, &pod, "500m", "192Mi");
    client.write("96\n");
    client.says("grew");
    client.end();
}

fn limits_of_the_whole_pod_hold(space: &Namespace, kind: Kind) {
    let words = kind.either(vec!["/memory.wasm", "256", "600"], vec!["tail", "/dev/zero"]);
    let pod = space
        .pod_with(kind, &words, |pod| pod["spec"]["resources"] = json!({ "limits": { "memory": "64Mi", "cpu": "1" } }));
    assert_ne!(pod.ended(), 0);
}

fn the_overhead_of_a_runtime_class_is_added(space: &Namespace, kind: Kind) {
    let name = format!("{}-heavy", space.name());
    space.create_in_cluster(json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": name },
        "handler": kubernetes_tests::pod::class(kind), "overhead": { "podFixed": { "memory": "16Mi" } },
    }));
    let pod = space.pod_with(kind, &kind.sleeper(), |pod| {
        pod["spec"]["runtimeClassName"] = json!(name);
        limit(pod, json!({ "cpu": "200m", "memory": "64Mi" }));
    });
    let pod = pod.ready();
    let parent = cgroup(&pod, "memory");
    let parent = parent.rsplit_once('/').expect("a parent").0.to_owned();
    let path = format!("/sys/fs/cgroup/memory{parent}/memory.limit_in_bytes");
    assert_eq!(std::fs::read_to_string(&path).expect("the pod's limit").trim(), (80 << 20).to_string());
}

/// F2: compilers have a common bound, half of the processors, and nobody waits for ever.
fn modules_that_are_compiled_at_once_start_all(space: &Namespace, kind: Kind) {
    let modules = ["hello", "world", "files", "clock", "preopens", "fdprobe", "both", "random"];
    let pods: Vec<_> = modules.iter().map(|name| space.pod(kind, &[&format!("/{name}.wasm")])).collect();
    let bound = std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1));
    let ended = |pod: &Pod| {
        let pod = pod.get();
        pod["status"]["phase"].as_str().is_some_and(|phase| ["Failed", "Succeeded"].contains(&phase))
    };
    let node = Process::of(1).and_then(|init| init.namespace("pid").ok()).expect("the node's pid namespace");
    space.wait(MINUTE, "the end of all", || {
        // Those that wait for their turn are not in a pid namespace of their own yet.
        let compilers = Process::named("wasmedge-aot").into_iter();
        let compilers = compilers.filter(|one| one.namespace("pid").is_ok_and(|own| own != node)).count();
        assert!(compilers <= bound, "{compilers} compilers");
        pods.iter().all(ended).then_some(())
    });
}
