//! Controllers: Deployments and their like, which make the pods.

use std::time::Duration;

use e2e::Kind;
use kubernetes_tests::{Namespace, for_kinds, pod, pod::is_ready};
use serde_json::{Value, json};

use crate::support::{answered_while, deployment, hello, server, service, settled, words};

for_kinds! {
    a_deployment_is_scaled_to_twenty_and_to_nothing;
    a_rolling_update_loses_no_request;
    a_rolling_update_of_a_module_that_reads_its_signals_loses_no_request: Wasm;
    a_daemon_set_has_a_pod_on_the_node;
    a_stateful_set_keeps_its_volume_and_its_name;
    a_job_tries_again_until_it_is_done;
    a_job_ends_at_an_exit_code_that_says_so;
    a_cron_job_makes_jobs: Wasm Runc;
}

const LONG: Duration = Duration::from_secs(120);

fn a_deployment_is_scaled_to_twenty_and_to_nothing(space: &Namespace, kind: Kind) {
    space.create(&deployment(kind, "web", 1, &kind.sleeper()));
    settled(space, "web", 1);
    for replicas in [20, 0] {
        space.patch("apps/v1", "Deployment", "web", &json!({ "spec": { "replicas": replicas } }));
        settled(space, "web", replicas);
    }
}

fn updated(space: &Namespace, name: &str) {
    let template = json!({ "spec": { "template": { "metadata": { "annotations": { "generation": "two" } } } } });
    space.patch("apps/v1", "Deployment", name, &template);
    space.wait(LONG, "pods of the new template only", || {
        let pods = space.pods(name);
        let new = |pod: &Value| pod.pointer("/metadata/annotations/generation").is_some() && is_ready(pod);
        (pods.len() == 3 && pods.iter().all(new)).then_some(())
    });
}

fn update_under_requests(space: &Namespace, kind: Kind, words: &[&str], change: impl FnOnce(&mut Value)) {
    let mut web = deployment(kind, "web", 3, words);
    let template = &mut web["spec"]["template"];
    template["spec"]["terminationGracePeriodSeconds"] = json!(10);
    template["spec"]["containers"][0]["readinessProbe"] =
        json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 1 });
    change(template);
    space.create(&web);
    let spec = json!({ "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let address = service(space, "web", &spec);
    settled(space, "web", 3);
    space.wait(LONG, "an answer", || (pod::get(&address, 80, "/").code == 0).then_some(()));
    let (answered, failed) = answered_while(&address, 80, || updated(space, "web"));
    assert!(answered > 50, "{answered} answers");
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), answered);
}

/// F1: a module ends at SIGTERM, while the node still sends requests to it; docs/kubernetes.md says to wait beforehand.
fn a_rolling_update_loses_no_request(space: &Namespace, kind: Kind) {
    update_under_requests(space, kind, &server(kind), |template| {
        template["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 3 } } });
    });
}

/// The other way: the server itself stops to listen, answers who is there, and ends.
fn a_rolling_update_of_a_module_that_reads_its_signals_loses_no_request(space: &Namespace, kind: Kind) {
    update_under_requests(space, kind, &["/graceful.wasm", "8080"], |template| {
        template["metadata"]["annotations"] = json!({ "io.wasmedge.signals": "TERM" });
        template["spec"]["containers"][0]["lifecycle"] = json!({ "preStop": { "sleep": { "seconds": 2 } } });
    });
}

fn a_daemon_set_has_a_pod_on_the_node(space: &Namespace, kind: Kind) {
    space.create(&json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "agent" },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": pod::template("agent", kind, &kind.sleeper()),
        },
    }));
    settled(space, "agent", 1);
}

fn a_stateful_set_keeps_its_volume_and_its_name(space: &Namespace, kind: Kind) {
    let volume = format!("{}-data", space.name());
    space.create_in_cluster(json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": volume },
        "spec": {
            "capacity": { "storage": "1Mi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": volume,
            "hostPath": { "path": format!("/tmp/{volume}"), "type": "DirectoryOrCreate" },
        },
    }));
    let script = "echo $HOSTNAME >>/data/log; cat /data/log; exec sleep 600";
    let mut template = pod::template("store", Kind::Linux, &["sh", "-c", script]);
    if kind == Kind::Wasm {
        // What the Linux program has written is read by the module.
        template["spec"]["initContainers"] =
            json!([pod::container("write", Kind::Linux, &["sh", "-c", "echo $HOSTNAME >>/data/log"])]);
        template["spec"]["initContainers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
        template["spec"]["containers"][0] = pod::container("main", kind, &kind.sleeper());
    }
    template["spec"]["runtimeClassName"] = json!(pod::class(kind));
    template["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    space.create(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "store" },
        "spec": {
            "serviceName": "store", "replicas": 1,
            "selector": { "matchLabels": { "app": "store" } },
            "template": template,
            "volumeClaimTemplates": [{
                "metadata": { "name": "data" },
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "storageClassName": volume,
                    "resources": { "requests": { "storage": "1Mi" } },
                },
            }],
        },
    }));
    settled(space, "store", 1);
    let uid = space.pods("store")[0]["metadata"]["uid"].clone();
    space.delete("v1", "Pod", "store-0");
    space.wait(LONG, "another pod of the same name", || {
        let pods = space.pods("store");
        (pods.len() == 1 && pods[0]["metadata"]["uid"] != uid && is_ready(&pods[0])).then_some(())
    });
    let read = kind.either(vec!["/files.wasm", "read", "/data/log"], vec!["cat", "/data/log"]);
    let log = space.kubectl(["exec", "store-0", "-c", "main", "--"]).args(read).run().stdout;
    assert_eq!(log.lines().collect::<Vec<_>>(), ["store-0", "store-0"]);
    std::fs::remove_dir_all(format!("/tmp/{volume}")).expect("removing the volume");
}

fn job(kind: Kind, name: &str, words: &[&str]) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": { "template": { "metadata": { "labels": { "app": name } }, "spec": pod::spec(kind, words) } },
    })
}

fn condition(space: &Namespace, name: &str) -> String {
    space.wait(LONG, "the end of the Job", || {
        let job = space.get("batch/v1", "Job", name)?;
        let all = job.pointer("/status/conditions")?.as_array()?.clone();
        let ended =
            all.iter().find(|one| ["Complete", "Failed"].contains(&one["type"].as_str().unwrap_or_default()))?;
        Some(format!("{} {}", ended["type"], ended["reason"]).replace('"', ""))
    })
}

fn a_job_tries_again_until_it_is_done(space: &Namespace, kind: Kind) {
    space.create(&job(kind, "good", &hello(kind)));
    let mut bad = job(kind, "bad", &words(&kind.exiter(3)));
    bad["spec"]["backoffLimit"] = json!(1);
    space.create(&bad);
    assert!(condition(space, "good").starts_with("Complete"));
    assert_eq!(condition(space, "bad"), "Failed BackoffLimitExceeded");
    assert_eq!(space.pods("bad").len(), 2);
}

fn a_job_ends_at_an_exit_code_that_says_so(space: &Namespace, kind: Kind) {
    let mut job = job(kind, "picky", &words(&kind.exiter(42)));
    job["spec"]["podFailurePolicy"] =
        json!({ "rules": [{ "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } }] });
    space.create(&job);
    assert_eq!(condition(space, "picky"), "Failed PodFailurePolicy");
}

fn a_cron_job_makes_jobs(space: &Namespace, kind: Kind) {
    space.create(&json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "often" },
        "spec": { "schedule": "* * * * *", "jobTemplate": job(kind, "often", &hello(kind)) },
    }));
    space.wait(LONG, "a Job that is done", || {
        let done = |job: &Value| job.pointer("/status/succeeded").and_then(Value::as_i64) == Some(1);
        space.list("batch/v1", "Job").iter().any(done).then_some(())
    });
}
