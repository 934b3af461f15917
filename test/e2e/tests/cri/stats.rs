//! What CRI tells of a pod's resources, which a kubelet passes on (`stats/summary`, `metrics/cadvisor`): of a Wasm pod whatever it
//! tells of the same pod under runc.

use std::collections::BTreeSet;

use e2e::{
    Kind, Scene,
    cri::{Container, Pod, crictl},
    until,
};
use serde_json::Value;

/// A pod with one container of `kind` that sleeps, and has been for as long as it takes to be measured twice.
#[track_caller]
fn sleeping(scene: &Scene, kind: Kind) -> (Pod, Container) {
    let pod = scene.pod(kind);
    let container = pod.container_with(kind, &kind.sleeper(), |container| {
        container["linux"]["resources"] = serde_json::json!({ "memory_limit_in_bytes": 256 << 20 });
    });
    container.says("sleeping");
    (pod, container)
}

/// What a command of crictl's tells, as JSON.
#[track_caller]
fn told(words: &[&str]) -> Value {
    let text = crictl(words.iter().copied()).run().stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"))
}

/// The places in `value` that have a number or a text, but for what is none: of lists all items together.
fn fields(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| fields(value, &format!("{place}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{place}[]"), found)),
        Value::Null => {}
        Value::String(text) if text.is_empty() => {}
        _ => drop(found.insert(place.to_owned())),
    }
}

fn fields_of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    fields(value, "", &mut found);
    // Names of theirs are labels of the pod's, and what runs differs.
    found.retain(|field| !field.contains("/labels/") && !field.contains("/annotations/"));
    found
}

/// Statistics of the pod, once those of its processor time per second are there, which takes two looks.
#[track_caller]
fn pod_stats(pod: &Pod) -> Value {
    until("two measurements of the pod", || {
        let all = told(&["statsp", "--id", &pod.id, "-o", "json"]);
        let stats = all["stats"].as_array().and_then(|stats| stats.first()).cloned()?;
        let nano_cores = stats["linux"]["containers"][0]["cpu"]["usageNanoCores"].is_null();
        (!nano_cores).then_some(stats)
    })
}

/// Panics where `theirs` has what `ours` has not.
#[track_caller]
fn expect_all(theirs: &BTreeSet<String>, ours: &BTreeSet<String>, what: &str) {
    let missing: Vec<_> = theirs.difference(ours).collect();
    assert!(!theirs.is_empty() && missing.is_empty(), "{what}: missing under this runtime: {missing:#?}");
}

#[test]
fn a_pod_s_statistics_have_the_fields_that_they_have_under_runc() {
    let scene = Scene::new();
    let (oracle, _) = sleeping(&scene, Kind::Runc);
    let theirs = pod_stats(&oracle);
    for kind in [Kind::Wasm, Kind::Linux] {
        let (pod, _) = sleeping(&scene, kind);
        let ours = pod_stats(&pod);
        expect_all(&fields_of(&theirs), &fields_of(&ours), &format!("statsp of {kind:?}"));
        for place in [
            "/linux/cpu/usageCoreNanoSeconds/value",
            "/linux/memory/workingSetBytes/value",
            "/linux/memory/usageBytes/value",
            "/linux/process/processCount/value",
            "/linux/containers/0/cpu/usageCoreNanoSeconds/value",
            "/linux/containers/0/memory/workingSetBytes/value",
        ] {
            let number = |stats: &Value| {
                let value = stats.pointer(place).cloned().unwrap_or_default();
                value.as_str().and_then(|text| text.parse::<u64>().ok()).or(value.as_u64()).unwrap_or(0)
            };
            assert!(number(&theirs) == 0 || number(&ours) > 0, "{place} of {kind:?}: {ours:#}\nrunc: {theirs:#}");
        }
    }
}

#[test]
fn a_container_s_statistics_have_the_fields_that_they_have_under_runc() {
    let scene = Scene::new();
    let stats = |kind| {
        let (_, container) = sleeping(&scene, kind);
        until("two measurements of the container", || {
            let stats = told(&["stats", "--id", &container.id, "-o", "json"])["stats"][0].clone();
            (!stats["cpu"]["usageNanoCores"].is_null()).then_some(stats)
        })
    };
    let theirs = fields_of(&stats(Kind::Runc));
    for kind in [Kind::Wasm, Kind::Linux] {
        expect_all(&theirs, &fields_of(&stats(kind)), &format!("stats of {kind:?}"));
    }
}

/// Metrics of a pod and its containers, by name and names of labels; those that come and go with devices without them.
fn metrics_of(pod: &Pod, all: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let pods = all["podMetrics"].as_array().cloned().unwrap_or_default();
    for one in pods.iter().filter(|one| one["podSandboxId"] == pod.id.as_str()) {
        let containers = one["containerMetrics"].as_array().cloned().unwrap_or_default();
        assert!(!containers.is_empty(), "{one:#}");
        let lists = [("pod", &one["metrics"])].into_iter();
        let lists = lists.chain(containers.iter().map(|container| ("container", &container["metrics"])));
        for (whose, metrics) in lists {
            for metric in metrics.as_array().into_iter().flatten() {
                let labels = metric["labelValues"].as_array().map_or(0, Vec::len);
                found.insert(format!("{whose} {} with {labels} labels", metric["name"].as_str().unwrap_or_default()));
            }
        }
    }
    found
}

/// containerd has these from 2.2 on.
#[test]
fn a_pod_s_metrics_are_those_that_it_has_under_runc() {
    let scene = Scene::new();
    let (oracle, _) = sleeping(&scene, Kind::Runc);
    let descriptions = crictl(["metricdescs"]).finish();
    if descriptions.code != 0 {
        let old = ["unknown method", "Unimplemented", "not implemented"];
        assert!(old.iter().any(|word| descriptions.stderr.contains(word)), "{descriptions}");
        return;
    }
    let theirs = until("metrics under runc", || {
        let found = metrics_of(&oracle, &told(&["metricsp"]));
        (!found.is_empty()).then_some(found)
    });
    for kind in [Kind::Wasm, Kind::Linux] {
        let (pod, _) = sleeping(&scene, kind);
        let ours = until("metrics", || {
            let found = metrics_of(&pod, &told(&["metricsp"]));
            theirs.is_subset(&found).then_some(found)
        });
        expect_all(&theirs, &ours, &format!("metricsp of {kind:?}"));
    }
}
