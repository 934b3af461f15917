//! What is killed on a node, and what becomes of its pods: the same as under runc. These tests run one at a time.

use std::{thread::sleep, time::Duration};

use e2e::{Kind, command, ctr, engine, node::service, process::Process, until};
use kubernetes_tests::{
    Namespace, for_kinds, node,
    pod::{self, Pod, is_ready},
};
use serde_json::{Value, json};

use crate::support::{answered_while, deployment, disruption_budget, hello, server, settled, words};

for_kinds! {
    a_killed_shim_is_a_restart_of_its_pod;
    a_killed_engine_host_ends_no_pod: Wasm Linux;
    a_killed_containerd_ends_no_pod;
    a_killed_kubelet_ends_no_pod;
    pods_come_back_after_a_reboot_of_their_node;
    a_drained_node_is_left_as_the_budget_permits;
}

const LONG: Duration = Duration::from_secs(120);

/// How long a service stays away.
const AWAY: Duration = Duration::from_secs(3);

fn always(pod: &mut Value) {
    pod["spec"]["restartPolicy"] = json!("Always");
}

#[track_caller]
fn comes_back(space: &Namespace, pod: &Pod) {
    space.wait(LONG, "the pod to be ready again", || (pod.restarts() > 0 && is_ready(&pod.get())).then_some(()));
    answers(space, pod);
    // The kubelet may have removed what it knew of the run before by now.
    let last = pod.last_exit_code();
    assert!(pod.restarts() == 1 && last.is_none_or(|code| code == 255), "{} restarts, {last:?}", pod.restarts());
}

#[track_caller]
fn answers(space: &Namespace, pod: &Pod) {
    let answer = || pod::get(&pod.address(), 8080, "/").stdout.contains("hello").then_some(());
    space.wait(LONG, "an answer of the pod", answer);
}

fn a_killed_shim_is_a_restart_of_its_pod(space: &Namespace, kind: Kind) {
    let again = space.pod_with(kind, &server(kind), always).ready();
    let once = space.pod(kind, &server(kind)).ready();
    let programs = [&again, &once].map(Pod::init);
    for pod in [&again, &once] {
        node::shim(pod).kill();
    }
    comes_back(space, &again);
    assert_eq!(once.ended(), 255);
    for pod in [again, once] {
        pod.delete();
    }
    if kind == Kind::Runc {
        node::remove_what_runc_leaves();
    }
    for program in programs {
        until(&format!("the end of {program:?}"), || (!program.lives()).then_some(()));
    }
}

/// What pods do while something they need not is away: answer, with no restart, and afterwards they are managed as before. A program that
/// is killed meanwhile has ended with `code`.
fn goes_on_while(space: &Namespace, kind: Kind, code: i64, fault: impl FnOnce()) {
    let web = space.pod_with(kind, &server(kind), always).ready();
    let once = space.pod(kind, &kind.sleeper()).ready();
    let program = once.init();
    answers(space, &web);
    let (answered, failed) = answered_while(&web.address(), 8080, || {
        fault();
        program.kill();
        sleep(AWAY);
        service("start", "containerd");
        service("start", "kubelet");
        assert_eq!(once.ended(), code);
    });
    assert!(answered > 20 && failed.is_empty(), "{answered} answers, others: {failed:#?}");
    let said = space.wait(LONG, "exec", || {
        let finished = web.exec(hello(kind)).finish();
        (finished.code == 0).then_some(finished.stdout)
    });
    assert!(said.contains("hello"), "{said}");
    let other = space.pod(kind, &words(&kind.exiter(5)));
    assert_eq!(other.ended(), 5);
    assert_eq!(web.restarts(), 0);
    answers(space, &web);
}

fn a_killed_engine_host_ends_no_pod(space: &Namespace, kind: Kind) {
    goes_on_while(space, kind, 137, engine::kill_hosts);
    host_runs();
}

fn a_killed_containerd_ends_no_pod(space: &Namespace, kind: Kind) {
    // It deletes what it finds ended when it starts (its runtime-v2 task manager, loadShims), and nobody asks for the code any more.
    goes_on_while(space, kind, 255, || drop(service("kill", "containerd")));
}

fn a_killed_kubelet_ends_no_pod(space: &Namespace, kind: Kind) {
    let gone = space.pod(kind, &kind.sleeper()).ready();
    goes_on_while(space, kind, 137, || {
        service("kill", "kubelet");
        space.delete("v1", "Pod", &gone.name);
    });
    space.wait(LONG, "the pod that was deleted meanwhile", || {
        space.get("v1", "Pod", &gone.name).is_none().then_some(())
    });
}

fn pods_come_back_after_a_reboot_of_their_node(space: &Namespace, kind: Kind) {
    let again = space.pod_with(kind, &server(kind), always).ready();
    let once = space.pod(kind, &server(kind)).ready();
    space.create(&deployment(kind, "web", 2, &server(kind)));
    settled(space, "web", 2);
    let uids = || {
        let mut uids: Vec<_> = space.pods("web").iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
        uids.sort();
        uids
    };
    let before = uids();
    node::power_off();
    node::power_on();
    comes_back(space, &again);
    assert_eq!(once.ended(), 255);
    settled(space, "web", 2);
    assert_eq!(uids(), before, "other pods");
    let restarts = |pod: &Value| pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_i64);
    assert!(space.pods("web").iter().all(|pod| restarts(pod) == Some(1)), "{:#?}", space.pods("web"));
    host_runs();
    // What it has on disk of tasks from before, containerd removes when it starts and finds others: after the next start.
    service("restart", "containerd");
}

/// The host is what was there before the test.
fn host_runs() {
    ctr::Run::new("host-again".into(), Kind::Wasm).run(["/hello.wasm"]).exits(0);
    until("no other process of the engine's", || (Process::named("wasmedge-engine").len() == 1).then_some(()));
}

fn a_drained_node_is_left_as_the_budget_permits(space: &Namespace, kind: Kind) {
    let name = node::name();
    space.create(&deployment(kind, "web", 2, &server(kind)));
    space.create(&disruption_budget("web", 2));
    settled(space, "web", 2);
    let before = space.pods("web");
    let pod = before[0]["metadata"]["name"].as_str().expect("a name");
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod } });
    let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", space.name());
    let refused =
        command("kubectl").args(["create", "--raw", &path, "--filename", "-"]).input(eviction.to_string()).finish();
    refused.fails().says_in_one_line(&["TooManyRequests", "disruption budget"]);

    let cordon = node::Cordon::new(&name);
    let drained = node::drain(&name, "web", Duration::from_secs(6)).fails();
    assert!(drained.stderr.contains("violate the pod's disruption budget"), "{drained}");
    assert!(space.pods("web").iter().all(is_ready) && space.pods("web").len() == 2, "pods were evicted");

    space.patch("policy/v1", "PodDisruptionBudget", "web", &json!({ "spec": { "minAvailable": 0 } }));
    node::drain(&name, "web", LONG).exits(0);
    space.wait(LONG, "pods that wait for a node", || {
        let pods = space.pods("web");
        (pods.len() == 2 && pods.iter().all(|pod| pod["status"]["phase"] == "Pending")).then_some(())
    });
    drop(cordon);
    settled(space, "web", 2);
}
