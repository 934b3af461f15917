//! The frame of each test: a node at rest before, everything removed and nothing left after.

use std::{
    cell::RefCell,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU32, atomic::Ordering},
};

use crate::{Kind, cri, ctr, docker, engine, leaks::Snapshot, node, process::Process, shim, until};

/// Tests count what is in the node, so there is one at a time; inside: the services that were warmed up.
static NODE: Mutex<Vec<i32>> = Mutex::new(Vec::new());

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// What was used, and what removes all that was made with it.
type Removal = (&'static str, fn());

/// A test's stay in the node. Dropping it removes all that was made through it, and panics if anything is left
/// then; after a failure it only removes.
pub struct Scene {
    before: Snapshot,
    directory: Option<tempfile::TempDir>,
    removals: RefCell<Vec<Removal>>,
    warmed: MutexGuard<'static, Vec<i32>>,
}

impl Scene {
    /// Begins a test. The first one, and those after a service was restarted, warm the services up with one
    /// container each: what they set up once is no leak.
    #[track_caller]
    #[expect(clippy::new_without_default, reason = "it waits for the node")]
    pub fn new() -> Self {
        node::require();
        let mut warmed = NODE.lock().unwrap_or_else(PoisonError::into_inner);
        if warmed.is_empty() {
            // An earlier build's host may still be there, about to leave.
            engine::kill_hosts();
        }
        if *warmed != service_pids() {
            warm_up();
            *warmed = service_pids();
        }
        // A shim of the test before, which is on its way out for seconds where its events cannot be delivered, is not
        // this one's.
        until("the end of all shims", || engine::shims().is_empty().then_some(()));
        let before = Snapshot::settled();
        let directory = Some(tempfile::Builder::new().prefix("e2e-").tempdir_in("/tmp").expect("a directory in /tmp"));
        Self { before, directory, removals: RefCell::default(), warmed }
    }

    /// A name that nothing else in the node has.
    pub fn name(&self) -> String {
        format!("e2e-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
    }

    /// A directory for the test's own files, world-readable, gone at the end.
    pub fn directory(&self) -> &Path {
        let path = self.directory.as_ref().map(tempfile::TempDir::path).expect("until the end of the scene");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, open).expect("opening the test's directory");
        path
    }

    /// `docker run` of something of `kind`.
    pub fn docker(&self, kind: Kind) -> docker::Run {
        self.remove_at_end("docker", docker::remove_all);
        docker::Run::new(self.name(), kind)
    }

    /// `ctr run` of something of `kind`, in containerd's namespace `default`.
    pub fn ctr(&self, kind: Kind) -> ctr::Run {
        self.remove_at_end("ctr", ctr::remove_all);
        ctr::Run::new(self.name(), kind)
    }

    /// A pod whose containers run under `kind`'s runtime.
    #[track_caller]
    pub fn pod(&self, kind: Kind) -> cri::Pod {
        self.remove_at_end("crictl", cri::remove_all);
        cri::Pod::start(self.name(), kind, self.directory())
    }

    /// As [`Scene::pod`], with a change of the pod's configuration.
    #[track_caller]
    pub fn pod_with(&self, kind: Kind, change: impl FnOnce(&mut serde_json::Value)) -> cri::Pod {
        self.remove_at_end("crictl", cri::remove_all);
        cri::Pod::start_with(self.name(), kind, self.directory(), change)
    }

    /// A pod under a runtime handler of containerd's configuration, with a change of the pod's configuration.
    #[track_caller]
    pub fn pod_under(&self, handler: &str, change: impl FnOnce(&mut serde_json::Value)) -> cri::Pod {
        self.remove_at_end("crictl", cri::remove_all);
        cri::Pod::start_under(handler, self.name(), self.directory(), change)
    }

    /// A bundle of its own, for a shim without containerd.
    #[track_caller]
    pub fn bundle(&self, kind: Kind, words: &[&str]) -> shim::Bundle {
        self.remove_at_end("docker", docker::remove_all);
        let name = self.name();
        let directory = self.directory().join(&name);
        shim::Bundle::new(name, kind, &directory, words)
    }

    fn remove_at_end(&self, what: &'static str, remove: fn()) {
        let mut removals = self.removals.borrow_mut();
        if removals.iter().all(|(known, _)| *known != what) {
            removals.push((what, remove));
        }
    }
}

impl Drop for Scene {
    #[track_caller]
    fn drop(&mut self) {
        for (_, remove) in self.removals.take() {
            remove();
        }
        drop(self.directory.take());
        if std::thread::panicking() {
            return;
        }
        if *self.warmed != service_pids() {
            warm_up();
            *self.warmed = service_pids();
        }
        self.before.expect_the_same();
    }
}

fn service_pids() -> Vec<i32> {
    engine::services().iter().map(|service: &Process| service.pid).collect()
}

/// One container of each kind through each client, and one on the node's network, for which Docker keeps a file.
fn warm_up() {
    docker::Run::new("e2e-warm".into(), Kind::Runc).flag("--network=host").run(["true"]).exits(0);
    for kind in [Kind::Wasm, Kind::Linux, Kind::Runc] {
        let words = if kind == Kind::Wasm { ["/hello.wasm", ""] } else { ["echo", "hello"] };
        let name = format!("e2e-warm-{kind:?}").to_lowercase();
        docker::Run::new(name.clone(), kind).run(words).exits(0);
        ctr::Run::new(name, kind).run(words).exits(0);
    }
    let directory = tempfile::tempdir_in("/tmp").expect("a directory in /tmp");
    for (kind, words) in [(Kind::Wasm, ["/hello.wasm"]), (Kind::Runc, ["true"])] {
        let name = format!("e2e-warm-{kind:?}").to_lowercase();
        cri::Pod::start(name, kind, directory.path()).container(kind, &words).wait();
    }
    // containerd 1.7 has no such pods.
    if std::fs::read_to_string("/etc/containerd/config.toml").is_ok_and(|text| text.contains("sandboxer")) {
        cri::Pod::start_under("wasmedge-sandbox", "e2e-warm-sandbox".into(), directory.path(), |_| ());
    }
    cri::remove_all();
}
