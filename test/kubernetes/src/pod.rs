//! Pods of one container, and more.

use std::time::Duration;

use e2e::{Command, Finished, Kind, cri::Container, process::Process};
use serde_json::{Value, json};

use crate::{Namespace, namespace::text};

const MINUTE: Duration = Duration::from_secs(60);

/// A pod that was made.
pub struct Pod<'a> {
    pub(crate) space: &'a Namespace,
    /// Its name.
    pub name: String,
}

/// The runtime class of a kind.
pub fn class(kind: Kind) -> &'static str {
    if kind == Kind::Runc { "runc" } else { "wasmedge" }
}

/// A container with these words as its command.
pub fn container(name: &str, kind: Kind, words: &[&str]) -> Value {
    json!({ "name": name, "image": kind.image(), "imagePullPolicy": "Never", "command": words })
}

/// The specification of a pod of one container, `main`, which is not started again.
pub fn spec(kind: Kind, words: &[&str]) -> Value {
    json!({
        "runtimeClassName": class(kind),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container("main", kind, words)],
    })
}

/// A pod of one container; its label `app` is its name.
pub fn object(name: &str, kind: Kind, words: &[&str]) -> Value {
    let metadata = json!({ "name": name, "labels": { "app": name } });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec(kind, words) })
}

/// The template of a Deployment and its like, for pods that are started again.
pub fn template(app: &str, kind: Kind, words: &[&str]) -> Value {
    let mut spec = spec(kind, words);
    spec["restartPolicy"] = json!("Always");
    json!({ "metadata": { "labels": { "app": app } }, "spec": spec })
}

impl Pod<'_> {
    /// What the API server has of it now.
    #[track_caller]
    pub fn get(&self) -> Value {
        self.space.get("v1", "Pod", &self.name).unwrap_or_else(|| panic!("pod {} is gone", self.name))
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn ready(self) -> Self {
        self.space.wait(MINUTE, "the pod to be ready", || {
            let pod = self.get();
            assert!(!["Failed", "Succeeded"].contains(&text(&pod, "/status/phase")), "it has ended: {}", pod["status"]);
            is_ready(&pod).then_some(())
        });
        self
    }

    /// Waits until its container has ended: the exit code.
    #[track_caller]
    pub fn ended(&self) -> i64 {
        self.ended_as()["exitCode"].as_i64().expect("an exit code")
    }

    /// Waits until its container has ended: the state `terminated`.
    #[track_caller]
    pub fn ended_as(&self) -> Value {
        self.space.wait(MINUTE, "the end of the pod", || {
            let mut pod = self.get();
            ["Failed", "Succeeded"].contains(&text(&pod, "/status/phase")).then_some(())?;
            pod.pointer_mut("/status/containerStatuses/0/state/terminated").map(Value::take)
        })
    }

    /// Waits for an event about it that has all of these words.
    #[track_caller]
    pub fn event(&self, words: &[&str]) -> String {
        self.space.wait(MINUTE, &format!("an event with {words:?}"), || {
            self.space.events(&self.name).into_iter().find(|event| words.iter().all(|word| event.contains(word)))
        })
    }

    /// What it has written.
    #[track_caller]
    pub fn logs(&self) -> String {
        self.space.kubectl(["logs", &self.name]).run().stdout
    }

    /// Waits until it has written this.
    #[track_caller]
    pub fn says(&self, what: &str) -> String {
        self.space.wait(MINUTE, &format!("{what:?} in the log"), || {
            let finished = self.space.kubectl(["logs", &self.name]).finish();
            finished.stdout.contains(what).then_some(finished.stdout)
        })
    }

    /// `kubectl exec`.
    pub fn exec<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Command {
        self.space.kubectl(["exec", &self.name, "--"]).args(words)
    }

    /// Deletes it, with its own grace period, and waits until it is gone: how long that took.
    #[track_caller]
    pub fn delete(&self) -> Duration {
        let begin = std::time::Instant::now();
        self.space.delete("v1", "Pod", &self.name);
        self.space.wait(MINUTE, "the pod to go", || self.space.get("v1", "Pod", &self.name).is_none().then_some(()));
        begin.elapsed()
    }

    /// Its address.
    #[track_caller]
    pub fn address(&self) -> String {
        text(&self.get(), "/status/podIP").to_owned()
    }

    /// The first process of its container.
    #[track_caller]
    pub fn init(&self) -> Process {
        let pod = self.get();
        let id = text(&pod, "/status/containerStatuses/0/containerID").trim_start_matches("containerd://").to_owned();
        Container { id }.init()
    }

    /// How often its container was started again.
    #[track_caller]
    pub fn restarts(&self) -> i64 {
        self.get().pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_i64).unwrap_or_default()
    }

    /// With which code the run of its container before this one has ended.
    #[track_caller]
    pub fn last_exit_code(&self) -> Option<i64> {
        self.get().pointer("/status/containerStatuses/0/lastState/terminated/exitCode").and_then(Value::as_i64)
    }
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
}

/// An HTTP client in the node: the answer to a GET.
pub fn get(address: &str, port: u16, path: &str) -> Finished {
    e2e::command("curl").args(["-sS", "--max-time", "5"]).arg(format!("http://{address}:{port}{path}")).finish()
}
