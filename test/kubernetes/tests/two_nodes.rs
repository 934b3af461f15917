//! A second node beside the first.

use std::{thread::sleep, time::Duration};

use e2e::Kind;
use kubernetes_tests::{
    Namespace, for_kinds, node,
    pod::{self, is_ready},
};
use serde_json::{Value, json};

use crate::support::{answered_from, answered_while, deployment, disruption_budget, server, service, settled};

for_kinds! {
    pods_of_two_nodes_reach_each_other;
    a_drain_moves_a_deployment_and_loses_no_request;
}

const LONG: Duration = Duration::from_secs(180);

/// The names of both.
fn nodes() -> [String; 2] {
    [node::name(), format!("{}-second", node::name())]
}

/// Lets a pod come to the second node too.
fn anywhere(spec: &mut Value) {
    spec["tolerations"] = json!([{ "key": "second", "operator": "Exists" }]);
}

fn on(node: &str) -> impl Fn(&mut Value) {
    move |pod| {
        anywhere(&mut pod["spec"]);
        pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    }
}

fn pods_of_two_nodes_reach_each_other(space: &Namespace, kind: Kind) {
    let nodes = nodes();
    let servers = [0, 1].map(|at| {
        let server = space.pod_with(kind, &server(kind), on(&nodes[at]));
        let ports = json!([{ "port": 80, "targetPort": 8080 }]);
        service(space, &format!("web-{at}"), &json!({ "selector": { "app": server.name }, "ports": ports }));
        server
    });
    let servers = servers.map(|server| server.ready().address());
    for (at, other) in [(0, 1), (1, 0)] {
        answered_from(space, kind, &servers[other], 8080, on(&nodes[at]));
        answered_from(space, kind, &format!("web-{other}"), 80, on(&nodes[at]));
    }
}

/// The words of a server that is told to end: a module reads its signals, the Linux program ignores them until its grace is over.
fn leaving(kind: Kind) -> Vec<&'static str> {
    if kind == Kind::Wasm { vec!["/graceful.wasm", "8080"] } else { server(kind) }
}

fn a_drain_moves_a_deployment_and_loses_no_request(space: &Namespace, kind: Kind) {
    let [first, second] = nodes();
    let mut web = deployment(kind, "web", 3, &leaving(kind));
    let template = &mut web["spec"]["template"];
    anywhere(&mut template["spec"]);
    template["metadata"]["annotations"] = json!({ "io.wasmedge.signals": "TERM" });
    template["spec"]["terminationGracePeriodSeconds"] = json!(10);
    let main = &mut template["spec"]["containers"][0];
    main["readinessProbe"] = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
    main["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 3 } } });
    let elsewhere = node::Cordon::new(&second);
    space.create(&web);
    space.create(&disruption_budget("web", 2));
    let ports = json!([{ "port": 80, "targetPort": 8080 }]);
    let address = service(space, "web", &json!({ "selector": { "app": "web" }, "ports": ports }));
    settled(space, "web", 3);
    are_on(space, &first);
    drop(elsewhere);
    space.wait(LONG, "an answer", || (pod::get(&address, 80, "/").code == 0).then_some(()));

    // There and back again.
    for (from, to) in [(&first, &second), (&second, &first)] {
        let (answered, failed) = answered_while(&address, 80, || {
            let _cordon = node::Cordon::new(from);
            node::drain(from, "web", LONG).exits(0);
            settled(space, "web", 3);
            are_on(space, to);
            // Until both nodes know.
            sleep(Duration::from_secs(1));
        });
        assert!(answered > 50, "{answered} answers");
        assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), answered);
    }
}

#[track_caller]
fn are_on(space: &Namespace, node: &str) {
    let pods = space.pods("web");
    assert!(pods.iter().all(|pod| pod["spec"]["nodeName"] == node && is_ready(pod)), "not on {node}: {pods:#?}");
}
