//! `watch`, `leave` and `forget` against an API server in memory.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    fake::{Cluster, State},
    leave::{Leave, WhilePodsRun, forget, leave},
    node::LABEL,
    watch::{Watch, watch},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, future).await.expect("it takes too long") })
}

fn leave_now(cluster: &Cluster, settings: &Leave) -> anyhow::Result<()> {
    block_on(async { leave(cluster.client(), settings).await })
}

/// Watches until what is expected has come.
async fn watch_until(cluster: &Cluster, settings: &Watch, come: impl Fn(&State) -> bool) {
    let until = async {
        while !come(&cluster.state()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        ended = watch(cluster.client(), settings) => panic!("watch has ended: {ended:?}"),
        () = until => {}
    }
}

fn leaving(while_pods_run: WhilePodsRun, seconds: f32) -> Leave {
    Leave {
        runtime_classes: vec!["wasmedge".into()],
        while_pods_run,
        namespace: "shim".into(),
        uninstaller: "component=uninstaller".into(),
        timeout: Duration::from_secs_f32(seconds),
        interval: Duration::from_millis(5),
    }
}

fn pod(name: &str, node: &str, class: Option<&str>) -> Value {
    json!({
        "metadata": { "namespace": "default", "name": name },
        "spec": { "nodeName": node, "runtimeClassName": class },
        "status": { "phase": "Running" },
    })
}

/// What the privileged pod does on the nodes that say `removing`.
fn uninstall(state: &mut State) {
    let removing = |node: &&Value| node["metadata"]["labels"][LABEL] == "removing";
    let nodes: Vec<Value> = state.nodes.iter().filter(removing).cloned().collect();
    for name in nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()) {
        state.pods.push(uninstaller(name, "True"));
        state.report(name, &["runc"]);
    }
}

fn uninstaller(node: &str, ready: &str) -> Value {
    json!({
        "metadata": { "namespace": "shim", "name": node, "labels": { "component": "uninstaller" } },
        "spec": { "nodeName": node },
        "status": { "conditions": [{ "type": "Ready", "status": ready }] },
    })
}

#[test]
fn a_node_gets_ready_when_it_reports_the_handler_and_not_before() {
    let cluster = Cluster::with(&[("one", None, Some("runc"))]);
    block_on(async {
        watch_until(&cluster, &Watch::default(), |state| state.label("one") == Some("false")).await;
        cluster.state().report("one", &["runc", "wasmedge"]);
        watch_until(&cluster, &Watch::default(), |state| state.label("one") == Some("true")).await;
        cluster.state().report("one", &["runc"]);
        watch_until(&cluster, &Watch::default(), |state| state.label("one") == Some("false")).await;
    });
    assert_eq!(cluster.state().labels, ["one=false", "one=true", "one=false"]);
}

#[test]
fn what_a_node_reports_while_it_is_watched_is_followed() {
    let cluster = Cluster::with(&[("one", None, None), ("two", Some("true"), Some("wasmedge"))]);
    cluster.react(|state| {
        if state.label("one") == Some("false") {
            state.report("one", &["wasmedge"]);
        }
    });
    block_on(watch_until(&cluster, &Watch::default(), |state| state.label("one") == Some("true")));
    assert_eq!(cluster.state().labels, ["one=false", "one=true"]);
}

#[test]
fn only_selected_nodes_are_labelled_and_lose_their_startup_taints() {
    let cluster = Cluster::with(&[("other", None, Some("wasmedge"))]);
    cluster.state().put(json!({
        "metadata": { "name": "one", "labels": { "pool": "wasm" } },
        "spec": { "taints": [{ "key": "new", "effect": "NoSchedule" }, { "key": "gpu", "effect": "NoSchedule" }] },
        "status": { "runtimeHandlers": [{ "name": "wasmedge" }] },
    }));
    let settings = Watch { selector: "pool=wasm".into(), startup_taints: vec!["new".into()] };
    block_on(watch_until(&cluster, &settings, |state| state.label("one").is_some()));
    let state = cluster.state();
    assert_eq!(state.labels, ["one=true"]);
    assert_eq!(state.node("one").unwrap()["spec"]["taints"], json!([{ "key": "gpu", "effect": "NoSchedule" }]));
}

#[test]
fn the_label_goes_first_then_pods_are_looked_at_then_the_node_is_uninstalled() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge")), ("two", Some("false"), None)]);
    cluster.state().pods.push(pod("other", "one", None));
    cluster.react(uninstall);
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap();
    let mut labels = cluster.state().labels.clone();
    labels[..2].sort();
    labels[2..].sort();
    assert_eq!(labels, ["one=leaving", "two=leaving", "one=removing", "two=removing"]);
    block_on(async { forget(cluster.client()).await }).unwrap();
    let state = cluster.state();
    assert_eq!((state.label("one"), state.label("two")), (None, None));
}

#[test]
fn it_is_refused_while_pods_run_and_the_node_stays() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    cluster.state().pods.push(pod("web", "one", Some("wasmedge")));
    cluster.react(uninstall);
    let error = leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap_err().to_string();
    assert!(error.contains("default/web on one"), "{error}");
    assert_eq!(cluster.state().labels, ["one=leaving", "one=false"]);
    // And comes back by what it reports.
    block_on(watch_until(&cluster, &Watch::default(), |state| state.label("one") == Some("true")));
}

#[test]
fn pods_are_waited_for_but_not_for_ever() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    cluster.state().pods.push(pod("web", "one", Some("wasmedge")));
    cluster.react(uninstall);
    let error = leave_now(&cluster, &leaving(WhilePodsRun::Wait, 0.05)).unwrap_err().to_string();
    assert!(error.contains("default/web on one"), "{error}");
    assert!(!cluster.state().labels.contains(&"one=removing".to_owned()));

    cluster.state().labels.clear();
    let ends = cluster.clone();
    block_on(async {
        let end = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(ends.state().label("one"), Some("leaving"));
            ends.state().pods.clear();
        };
        let settings = leaving(WhilePodsRun::Wait, 10.0);
        let (left, ()) = tokio::join!(leave(cluster.client(), &settings), end);
        left.unwrap();
    });
    assert_eq!(cluster.state().label("one"), Some("removing"));
}

#[test]
fn pods_do_not_count_that_have_no_node_or_another_class_or_are_forced() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    let mut pending = pod("pending", "one", Some("wasmedge"));
    pending["spec"]["nodeName"] = Value::Null;
    cluster.state().pods.extend([pending, pod("kata", "one", Some("kata")), pod("linux", "one", None)]);
    cluster.react(|state| {
        state.pods.push(uninstaller("one", "True"));
        state.report("one", &[]);
    });
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap();
    cluster.state().pods.push(pod("web", "one", Some("wasmedge")));
    leave_now(&cluster, &leaving(WhilePodsRun::Force, 1.0)).unwrap();
}

#[test]
fn a_node_is_done_when_its_pod_is_ready_and_the_handler_is_gone() {
    for (ready, handlers, cause) in
        [("True", &["wasmedge"][..], "one still reports the handler"), ("False", &[], "one is not uninstalled")]
    {
        let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
        cluster.react(move |state| {
            if state.label("one") == Some("removing") && state.pods.is_empty() {
                state.pods.push(uninstaller("one", ready));
                state.report("one", handlers);
            }
        });
        let error = leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 0.1)).unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
        assert_eq!(cluster.state().label("one"), Some("removing"));
    }
}

#[test]
fn a_second_run_goes_on_where_the_first_has_ended() {
    let cluster = Cluster::with(&[("one", Some("removing"), None), ("two", Some("leaving"), Some("wasmedge"))]);
    cluster.react(uninstall);
    cluster.state().pods.push(uninstaller("one", "True"));
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap();
    assert_eq!(cluster.state().labels, ["two=removing"]);
}

#[test]
fn a_change_by_others_meanwhile_is_seen_and_not_overwritten() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    cluster.react(uninstall);
    // Somebody takes the label away between the look at the node and its change.
    cluster.state().meanwhile = vec![("one".into(), None)];
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap();
    assert_eq!(cluster.state().label("one"), None);
    assert!(cluster.state().labels.is_empty());
    // The kubelet reports something.
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    cluster.react(uninstall);
    cluster.state().meanwhile = vec![("one".into(), Some("true"))];
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 1.0)).unwrap();
    assert_eq!(cluster.state().labels, ["one=leaving", "one=removing"]);
}

#[test]
fn an_api_server_that_is_away_is_waited_for_while_nodes_are_uninstalled() {
    let cluster = Cluster::with(&[("one", Some("true"), Some("wasmedge"))]);
    cluster.react(|state| {
        if state.label("one") == Some("removing") && state.pods.is_empty() {
            uninstall(state);
            state.failures = vec![503, 500];
        }
    });
    leave_now(&cluster, &leaving(WhilePodsRun::Refuse, 5.0)).unwrap();
    assert!(cluster.state().failures.is_empty());
    cluster.state().failures = vec![403];
    assert!(block_on(async { forget(cluster.client()).await }).is_err());
}
