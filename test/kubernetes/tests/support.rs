//! Programs that tests of several areas run.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::Duration,
};

use e2e::Kind;
use kubernetes_tests::{
    Namespace,
    pod::{self, is_ready},
};
use serde_json::{Value, json};

/// Words of an HTTP server on port 8080 that answers `hello…`.
pub fn server(kind: Kind) -> Vec<&'static str> {
    let linux = "mkdir -p /tmp/www; echo hello >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";
    kind.either(vec!["/http.wasm", "8080"], vec!["sh", "-c", linux])
}

/// Words of a command that says what is in a file.
pub fn reader(kind: Kind, path: &str) -> Vec<&str> {
    kind.either(vec!["/files.wasm", "read", path], vec!["cat", path])
}

/// Words of a command that says `hello` and ends.
pub fn hello(kind: Kind) -> Vec<&'static str> {
    kind.either(vec!["/hello.wasm"], vec!["echo", "hello"])
}

/// `KEY=value` lines: the value of a key.
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Words as a command is given them.
pub fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// A Deployment whose pods are replaced one after the other.
pub fn deployment(kind: Kind, name: &str, replicas: u32, words: &[&str]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "strategy": { "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": pod::template(name, kind, words),
        },
    })
}

/// A budget that leaves so many pods with a label `app`.
pub fn disruption_budget(app: &str, available: u32) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": app },
        "spec": { "minAvailable": available, "selector": { "matchLabels": { "app": app } } },
    })
}

/// Waits until so many pods with a label `app` are ready, and there are no others.
#[track_caller]
pub fn settled(space: &Namespace, app: &str, count: usize) {
    space.wait(Duration::from_secs(120), &format!("{count} ready pods"), || {
        let pods = space.pods(app);
        (pods.len() == count && pods.iter().all(is_ready)).then_some(())
    });
}

/// Makes a Service: its address.
#[track_caller]
pub fn service(space: &Namespace, name: &str, spec: &Value) -> String {
    let made = space.create(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec,
    }));
    made["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned()
}

/// Words that GET `/` from a host, and end when it has answered.
pub fn client(kind: Kind, host: &str, port: u16) -> Vec<String> {
    match kind {
        Kind::Wasm => ["/tcp-get.wasm", host, &port.to_string(), "/"].map(String::from).to_vec(),
        _ => vec!["wget".into(), "-qO-".into(), format!("http://{host}:{port}/")],
    }
}

/// Runs a client until it was answered, as names and addresses take a moment.
#[track_caller]
pub fn answered(space: &Namespace, kind: Kind, host: &str, port: u16) {
    answered_from(space, kind, host, port, |_| ());
}

/// As [`answered`], with a change of the client's pod.
#[track_caller]
pub fn answered_from(space: &Namespace, kind: Kind, host: &str, port: u16, change: impl FnOnce(&mut Value)) {
    let client = client(kind, host, port);
    let pod = space.pod_with(kind, &words(&client), |pod| {
        pod["spec"]["restartPolicy"] = json!("OnFailure");
        change(pod);
    });
    assert_eq!(pod.ended(), 0);
    assert!(pod.logs().contains("hello"), "{}", pod.logs());
}

/// Requests from the node while `change` goes on: how many were answered, and what others said.
pub fn answered_while(address: &str, port: u16, change: impl FnOnce()) -> (u32, Vec<String>) {
    let (done, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    let failed = thread::scope(|scope| {
        let client = || {
            let mut failed = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let answer = pod::get(address, port, "/");
                if answer.code == 0 && !answer.stdout.is_empty() {
                    answered.fetch_add(1, Ordering::Relaxed);
                } else {
                    failed.push(format!("{} {}", answer.stderr.trim(), answer.stdout.trim()));
                }
            }
            failed
        };
        let clients = [scope.spawn(client), scope.spawn(client)];
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        done.store(true, Ordering::Relaxed);
        let failed = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect::<Vec<_>>();
        changed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        failed
    });
    (answered.into_inner(), failed)
}
