//! The frame of each test: a namespace of its own, which goes with all that is in it.

use std::{
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use e2e::{Command, Kind, command, cri::crictl, ctr, leaks::Snapshot, process::Process, within};
use http::Method;
use serde_json::{Value, json};

use crate::{
    api::{self, Refused},
    pod::{self, Pod},
};

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// How many namespaces of tests there are, and what was in the node before the first of them.
static RUNNING: Mutex<(u32, Option<Snapshot>)> = Mutex::new((0, None));

const MINUTE: Duration = Duration::from_secs(60);

/// A test's namespace in the cluster. Dropping it removes it; the last of those that ran at the same time panics if anything
/// of their containers is left in the node.
pub struct Namespace {
    name: String,
    /// Objects of the cluster that were made through this.
    others: Mutex<Vec<String>>,
}

impl Namespace {
    /// A new one, whose service account is there.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it changes the cluster")]
    pub fn new() -> Self {
        e2e::node::require();
        begin();
        let name = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let space = Self { name, others: Mutex::default() };
        space.create_in_cluster(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": space.name } }));
        space.wait(MINUTE, "its service account", || space.get("v1", "ServiceAccount", "default"));
        space
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `kubectl --namespace NAME WORDS`.
    pub fn kubectl<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Command {
        command("kubectl").args(["--namespace", &self.name]).args(words)
    }

    /// Makes an object in this namespace: what the API server made of it.
    ///
    /// # Errors
    /// The API server's refusal.
    #[track_caller]
    pub fn try_create(&self, object: &Value) -> Result<Value, Refused> {
        let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let folder = api::folder(version, kind, Some(&self.name));
        api::request(&Method::POST, &folder, Some(("application/json", object)))
    }

    /// As [`Namespace::try_create`], for what is not refused.
    #[track_caller]
    pub fn create(&self, object: &Value) -> Value {
        self.try_create(object).unwrap_or_else(|refused| panic!("{}: {object}", refused.message))
    }

    /// Makes an object that belongs to no namespace, and goes with this one.
    #[track_caller]
    pub fn create_in_cluster(&self, object: Value) -> Value {
        let folder = api::folder(text(&object, "/apiVersion"), text(&object, "/kind"), None);
        let made = api::request(&Method::POST, &folder, Some(("application/json", &object)));
        let made = made.unwrap_or_else(|refused| panic!("{}: {object}", refused.message));
        self.others.lock().expect("no test panics here").push(format!("{folder}/{}", text(&made, "/metadata/name")));
        made
    }

    /// An object of this namespace, if it is there.
    #[track_caller]
    pub fn get(&self, version: &str, kind: &str, name: &str) -> Option<Value> {
        api::get(&format!("{}/{name}", api::folder(version, kind, Some(&self.name))))
    }

    /// All objects of a kind.
    #[track_caller]
    pub fn list(&self, version: &str, kind: &str) -> Vec<Value> {
        let answer = api::get(&api::folder(version, kind, Some(&self.name)));
        answer.and_then(|mut list| list["items"].as_array_mut().map(std::mem::take)).unwrap_or_default()
    }

    /// Changes an object by a merge patch (RFC 7386), or a part of it such as `NAME/resize`.
    #[track_caller]
    pub fn patch(&self, version: &str, kind: &str, name: &str, change: &Value) -> Value {
        let path = format!("{}/{name}", api::folder(version, kind, Some(&self.name)));
        let answer = api::request(&Method::PATCH, &path, Some(("application/merge-patch+json", change)));
        answer.unwrap_or_else(|refused| panic!("{path}: {}: {change}", refused.message))
    }

    /// Deletes an object, with its own grace period.
    #[track_caller]
    pub fn delete(&self, version: &str, kind: &str, name: &str) {
        let path = format!("{}/{name}", api::folder(version, kind, Some(&self.name)));
        let background = json!({ "propagationPolicy": "Background" });
        let answer = api::request(&Method::DELETE, &path, Some(("application/json", &background)));
        answer.unwrap_or_else(|refused| panic!("{path}: {}", refused.message));
    }

    /// Makes a pod of one container with these words as its command, and waits for nothing.
    #[track_caller]
    pub fn pod(&self, kind: Kind, words: &[&str]) -> Pod<'_> {
        self.pod_with(kind, words, |_| ())
    }

    /// As [`Namespace::pod`], with a change of the object beforehand; its container is `/spec/containers/0`.
    #[track_caller]
    pub fn pod_with(&self, kind: Kind, words: &[&str], change: impl FnOnce(&mut Value)) -> Pod<'_> {
        let name = self.unique("pod");
        let mut object = pod::object(&name, kind, words);
        change(&mut object);
        self.create(&object);
        Pod { space: self, name }
    }

    /// A pod that somebody else has made.
    pub fn pod_named(&self, name: &str) -> Pod<'_> {
        Pod { space: self, name: name.to_owned() }
    }

    /// A name that no other object of this namespace has.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// The pods with this label `app`.
    #[track_caller]
    pub fn pods(&self, app: &str) -> Vec<Value> {
        let is_one = |pod: &Value| pod.pointer("/metadata/labels/app").is_some_and(|label| label == app);
        self.list("v1", "Pod").into_iter().filter(is_one).collect()
    }

    /// What `probe` finds, asked five times a second; panics after `limit` with the namespace's pods and events.
    #[track_caller]
    pub fn wait<T>(&self, limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        let found = within(limit, || {
            probe().or_else(|| {
                std::thread::sleep(Duration::from_millis(200));
                None
            })
        });
        found.unwrap_or_else(|| panic!("waited {} s for {what}\n{}", limit.as_secs(), self.report()))
    }

    /// The messages of the events about an object, with their reasons.
    #[track_caller]
    pub fn events(&self, name: &str) -> Vec<String> {
        let about = |event: &Value| event.pointer("/involvedObject/name").is_some_and(|other| other == name);
        let line = |event: &Value| format!("{}: {}", text(event, "/reason"), text(event, "/message"));
        self.list("v1", "Event").iter().filter(|event| about(event)).map(line).collect()
    }

    /// Does what the kubelet does once a minute: removes the sandboxes of pods that are gone.
    fn remove_sandboxes(&self) {
        let stopped = ["pods", "--quiet", "--state", "notready", "--namespace", &self.name];
        for sandbox in crictl(stopped).run().stdout.lines() {
            // The kubelet may have been faster.
            crictl(["rmp", sandbox]).finish();
        }
    }

    /// Pods and events, for the message of a failed test.
    fn report(&self) -> String {
        let mut lines = Vec::new();
        for pod in self.list("v1", "Pod") {
            let name = text(&pod, "/metadata/name").to_owned();
            lines.push(format!("pod {name}: {}", pod["status"]));
            lines.extend(self.events(&name).into_iter().map(|event| format!("    {event}")));
        }
        lines.push(e2e::node::hint());
        lines.join("\n")
    }
}

impl Drop for Namespace {
    #[track_caller]
    fn drop(&mut self) {
        let others = std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        for path in others.iter().rev() {
            let _ = api::request(&Method::DELETE, path, None);
        }
        let gone = within(2 * MINUTE, || {
            let left: Vec<_> = others.iter().filter(|path| api::get(path).is_some()).collect();
            std::thread::sleep(Duration::from_millis(200));
            left.is_empty().then_some(())
        });
        let before = end();
        if std::thread::panicking() {
            return;
        }
        assert!(gone.is_some(), "namespace {} does not go\n{}", self.name, self.report());
        self.remove_sandboxes();
        if let Some(before) = before {
            // What else is left of pods the kubelet removes once a minute.
            within(2 * MINUTE, || before.differences(&Snapshot::take()).is_empty().then_some(()));
            before.expect_the_same();
        }
    }
}

fn begin() {
    static WARM: Once = Once::new();
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    WARM.call_once(warm_up);
    if running.0 == 0 {
        // What a pod before had mounted may still be on its way.
        within(MINUTE, || Process::named("umount").is_empty().then_some(()));
        running.1 = Some(Snapshot::settled());
    }
    running.0 += 1;
}

/// What the engine host, containerd and the kubelet set up once is no leak.
fn warm_up() {
    for (kind, words) in [(Kind::Wasm, vec!["/hello.wasm"]), (Kind::Linux, vec!["true"]), (Kind::Runc, vec!["true"])] {
        let name = format!("warm-{kind:?}").to_lowercase();
        ctr::Run::new(name.clone(), kind).run(words.clone()).exits(0);
        let mut object = pod::object(&name, kind, &words);
        if kind == Kind::Linux {
            // For the cgroup of its class of service, which comes with the first such pod.
            object["spec"]["containers"][0]["resources"] = json!({ "requests": { "memory": "1Mi" } });
        }
        command("kubectl").args(["apply", "--filename", "-"]).input(object.to_string()).run();
        let done = "--for=jsonpath={.status.phase}=Succeeded";
        command("kubectl").args(["wait", done, "--timeout=50s", "pod", &name]).run();
        command("kubectl").args(["delete", "pod", &name]).run();
    }
    e2e::engine::quiet();
    // containerd's own, from the first image volume on.
    std::fs::create_dir_all("/run/containerd/io.containerd.grpc.v1.cri/image-volumes")
        .expect("a directory of containerd's");
}

/// What was there before the first, if this was the last.
fn end() -> Option<Snapshot> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.0 -= 1;
    if running.0 == 0 { running.1.take() } else { None }
}

/// A text of an object, empty if it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
