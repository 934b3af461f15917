//! What the kubelet tells of a pod's use, against a pod of runc's.

use std::{collections::BTreeSet, time::Duration};

use e2e::Kind;
use kubernetes_tests::{Namespace, api, for_kinds, pod::Pod};
use serde_json::{Value, json};

use crate::support::server;

for_kinds! {
    the_summary_has_the_fields_of_runc: Wasm Linux;
    metrics_of_resources_and_cadvisor_are_those_of_runc: Wasm Linux;
    top_shows_what_is_used;
    an_autoscaler_adds_pods: Wasm Runc;
}

const LONG: Duration = Duration::from_secs(180);

fn node() -> String {
    let nodes = api::get("/api/v1/nodes").expect("nodes");
    nodes["items"][0]["metadata"]["name"].as_str().expect("a name").to_owned()
}

/// The names of all fields below, with `[]` for the elements of lists.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => all.iter().for_each(|(key, one)| fields(one, &format!("{path}.{key}"), found)),
        Value::Array(all) => all.iter().for_each(|one| fields(one, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.to_owned())),
    }
}

fn summary_of(pod: &Pod) -> Option<Value> {
    let path = format!("/api/v1/nodes/{}/proxy/stats/summary", node());
    let summary = api::get(&path).expect("the summary");
    let all = summary["pods"].as_array()?.clone();
    let one = all.into_iter().find(|one| one["podRef"]["name"] == pod.name.as_str())?;
    // What is measured between two looks comes with the second.
    let complete =
        one.pointer("/containers/0/cpu/usageNanoCores").is_some() && one.pointer("/cpu/usageNanoCores").is_some();
    complete.then_some(one)
}

fn the_summary_has_the_fields_of_runc(space: &Namespace, kind: Kind) {
    let pods = [kind, Kind::Runc].map(|kind| space.pod(kind, &server(kind)).ready());
    let [ours, runc] = pods.map(|pod| {
        let mut found = BTreeSet::new();
        fields(&space.wait(LONG, "its statistics", || summary_of(&pod)), "", &mut found);
        found
    });
    let missing: Vec<_> = runc.difference(&ours).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(ours.iter().any(|field| field.contains("workingSetBytes")), "{ours:#?}");
}

/// The names of the series about a pod.
fn series(text: &str, pod: &str) -> BTreeSet<String> {
    let about = |line: &&str| line.contains(&format!("pod=\"{pod}\""));
    text.lines().filter(about).filter_map(|line| line.split('{').next()).map(String::from).collect()
}

fn metrics_of_resources_and_cadvisor_are_those_of_runc(space: &Namespace, kind: Kind) {
    let pods = [kind, Kind::Runc].map(|kind| space.pod(kind, &server(kind)).ready());
    for source in ["resource", "cadvisor"] {
        let path = format!("/api/v1/nodes/{}/proxy/metrics/{source}", node());
        space.wait(LONG, &format!("the series of metrics/{source}"), || {
            let text = api::text(&path);
            let [ours, runc] = [&pods[0], &pods[1]].map(|pod| series(&text, &pod.name));
            let missing: Vec<_> = runc.difference(&ours).collect();
            (ours.len() > 2 && missing.is_empty()).then_some(())
        });
    }
}

fn top_shows_what_is_used(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &server(kind)).ready();
    space.wait(LONG, "kubectl top", || {
        let top = space.kubectl(["top", "pod", &pod.name, "--no-headers"]).finish();
        (top.code == 0 && top.stdout.contains("Mi")).then_some(())
    });
}

fn an_autoscaler_adds_pods(space: &Namespace, kind: Kind) {
    let words = kind.either(vec!["/busy.wasm"], vec!["sh", "-c", "while :; do :; done"]);
    let mut template = kubernetes_tests::pod::template("busy", kind, &words);
    template["spec"]["containers"][0]["resources"] =
        json!({ "requests": { "cpu": "50m" }, "limits": { "cpu": "100m" } });
    space.create(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "busy" },
        "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "busy" } }, "template": template },
    }));
    let metric = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 50 } } });
    space.create(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "busy" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "busy" },
            "minReplicas": 1, "maxReplicas": 3, "metrics": [metric],
        },
    }));
    space.wait(LONG, "a second pod", || (space.pods("busy").len() > 1).then_some(()));
}
