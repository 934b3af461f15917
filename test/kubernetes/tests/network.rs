//! Services, names and ports.

use std::time::Duration;

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds, pod};
use serde_json::json;

use crate::support::{answered, server, service};

for_kinds! {
    a_service_has_a_name_and_an_address;
    a_headless_service_has_the_addresses_of_its_pods;
    a_name_that_nobody_has_is_not_found;
    a_port_of_the_node_leads_to_a_service;
    a_port_of_the_node_leads_to_a_pod;
    the_network_of_the_node_is_used_when_asked_for;
    names_for_hosts_are_added: Wasm Runc;
    pods_of_a_service_of_another_namespace_are_reached: Wasm Runc;
}

const MINUTE: Duration = Duration::from_secs(60);

fn a_service_has_a_name_and_an_address(space: &Namespace, kind: Kind) {
    let server = space.pod(kind, &server(kind));
    let spec = json!({ "selector": { "app": server.name }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let address = service(space, "web", &spec);
    server.ready();
    let full = format!("web.{}.svc.cluster.local", space.name());
    for host in [&address, "web", &full] {
        answered(space, kind, host, 80);
    }
}

fn resolve(kind: Kind, name: &str) -> Vec<&str> {
    kind.either(vec!["/resolve.wasm", name], vec!["nslookup", name])
}

fn a_headless_service_has_the_addresses_of_its_pods(space: &Namespace, kind: Kind) {
    let one = space.pod(kind, &kind.sleeper());
    service(space, "pods", &json!({ "clusterIP": "None", "selector": { "app": one.name } }));
    let one = one.ready();
    let name = format!("pods.{}.svc.cluster.local", space.name());
    let resolver = space.pod_with(kind, &resolve(kind, &name), |pod| pod["spec"]["restartPolicy"] = json!("OnFailure"));
    assert_eq!(resolver.ended(), 0);
    assert!(resolver.logs().contains(&one.address()), "{}", resolver.logs());
}

fn a_name_that_nobody_has_is_not_found(space: &Namespace, kind: Kind) {
    let pod = space.pod(kind, &resolve(kind, "nobody.default.svc.cluster.local"));
    assert_eq!(pod.ended(), 1, "{}", pod.logs());
}

fn a_port_of_the_node_leads_to_a_service(space: &Namespace, kind: Kind) {
    let server = space.pod(kind, &server(kind));
    let spec = json!({ "type": "NodePort", "selector": { "app": server.name }, "ports": [{ "port": 8080 }] });
    service(space, "web", &spec);
    server.ready();
    let port = space.get("v1", "Service", "web").expect("the Service")["spec"]["ports"][0]["nodePort"].as_u64();
    let port = u16::try_from(port.expect("a port")).expect("a port");
    space.wait(MINUTE, "an answer", || pod::get("10.99.0.1", port, "/").stdout.contains("hello").then_some(()));
}

fn a_port_of_the_node_leads_to_a_pod(space: &Namespace, kind: Kind) {
    let port = 20000 + kind as u16;
    let server = space.pod_with(kind, &server(kind), |pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{ "containerPort": 8080, "hostPort": port }]);
    });
    server.ready();
    space.wait(MINUTE, "an answer", || pod::get("10.99.0.1", port, "/").stdout.contains("hello").then_some(()));
}

fn the_network_of_the_node_is_used_when_asked_for(space: &Namespace, kind: Kind) {
    let port = (20100 + kind as u16).to_string();
    let linux = format!("echo 'hello' >/tmp/index.html; exec httpd -f -p {port} -h /tmp");
    let words = kind.either(vec!["/http.wasm", &port], vec!["sh", "-c", &linux]);
    let pod = space.pod_with(kind, &words, |pod| {
        pod["spec"]["hostNetwork"] = json!(true);
        pod["spec"]["containers"][0]["ports"] = json!([{ "containerPort": port.parse::<u16>().expect("a port") }]);
    });
    let pod = pod.ready();
    assert_eq!(pod.address(), "10.99.0.1");
    let port = port.parse().expect("a port");
    space.wait(MINUTE, "an answer", || pod::get("127.0.0.1", port, "/").stdout.contains("hello").then_some(()));
}

fn names_for_hosts_are_added(space: &Namespace, kind: Kind) {
    let path = "/etc/hosts";
    let pod = space.pod_with(kind, &crate::support::reader(kind, path), |pod| {
        pod["spec"]["hostAliases"] = json!([{ "ip": "10.1.2.3", "hostnames": ["elsewhere.example"] }]);
    });
    assert_eq!(pod.ended(), 0);
    assert!(pod.logs().contains("10.1.2.3\telsewhere.example"), "{}", pod.logs());
}

fn pods_of_a_service_of_another_namespace_are_reached(space: &Namespace, kind: Kind) {
    let other = Namespace::new();
    let server = other.pod(kind, &server(kind));
    let spec = json!({ "selector": { "app": server.name }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    service(&other, "web", &spec);
    server.ready();
    answered(space, kind, &format!("web.{}", other.name()), 80);
}
