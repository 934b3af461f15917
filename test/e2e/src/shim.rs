//! A shim without containerd: started and called as containerd does it, for what no client lets one do.

mod calls;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use containerd_shim_protos::{
    Client, TaskClient,
    api::ShutdownRequest,
    ttrpc::{self, context::Context},
};
use serde_json::{Value, json};

use crate::{Command, Finished, Kind, command, docker};

/// containerd's namespace for these containers, unless they are told to be of another one.
const NAMESPACE: &str = "default";

/// containerd's socket.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

pub use calls::Streams;

/// Exit code and message of a call that failed, by the names of gRPC's codes.
pub type Failure = (ttrpc::Code, String);

/// A bundle as containerd makes it: configuration, root file system, and the shim that serves it.
pub struct Bundle {
    /// The container's id.
    pub id: String,
    directory: PathBuf,
    kind: Kind,
    namespace: &'static str,
    containerd: PathBuf,
}

/// A shim that serves a bundle. Dropped, it is killed and cleaned up after, as containerd would.
pub struct Shim {
    /// The task API.
    pub client: TaskClient,
    /// Where it listens.
    pub socket: PathBuf,
    bundle: Bundle,
    /// Whether the caller has cleaned up already.
    left_alone: bool,
}

impl Bundle {
    /// A bundle in `directory` whose process is `words`, with the root file system of the image for both kinds.
    #[track_caller]
    pub fn new(id: String, kind: Kind, directory: &Path, words: &[&str]) -> Self {
        // runc's shim looks for a bundle by the container's id.
        let bundle = Self::empty(id, kind, directory);
        fs::create_dir_all(bundle.path("rootfs")).expect("making a bundle");
        // containerd makes a FIFO here, for the shim's messages.
        fs::write(bundle.path("log"), "").expect("making the bundle's log");
        bundle.unpack();
        bundle.configure(|spec| {
            spec["process"]["args"] = json!(words);
            spec["process"]["env"] = json!(["PATH=/bin"]);
        });
        bundle
    }

    /// As [`Bundle::new`], with a configuration whose root file system is somewhere else: nothing is unpacked.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn of_configuration(id: String, kind: Kind, directory: &Path, spec: &Value) -> std::io::Result<Self> {
        let bundle = Self::empty(id, kind, directory);
        fs::create_dir_all(&bundle.directory)?;
        fs::write(bundle.path("log"), "")?;
        let mut spec = spec.clone();
        spec["linux"]["cgroupsPath"] = json!(format!("/{NAMESPACE}/{}", bundle.id));
        fs::write(bundle.path("config.json"), spec.to_string())?;
        Ok(bundle)
    }

    fn empty(id: String, kind: Kind, directory: &Path) -> Self {
        Self { directory: directory.join(&id), id, kind, namespace: NAMESPACE, containerd: CONTAINERD.into() }
    }

    /// The same in another namespace of a containerd whose API is at `socket`. Events go to the node's own.
    #[must_use]
    pub fn of_containerd(self, namespace: &'static str, socket: &Path) -> Self {
        Self { namespace, containerd: socket.to_owned(), ..self }
    }

    /// A file of the bundle.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn unpack(&self) {
        let container = docker::Run::new(format!("{}-rootfs", self.id), self.kind).image("both").create(["none"]);
        let archive = self.path("rootfs.tar").display().to_string();
        docker::docker(["export", "-o", &archive, &container.name]).run();
        container.remove();
        command("tar").args(["-xf", &archive, "-C", &self.path("rootfs").display().to_string()]).run();
    }

    /// Changes the configuration; the first time what is changed is containerd's default.
    #[track_caller]
    pub fn configure(&self, change: impl FnOnce(&mut Value)) {
        let text = match fs::read_to_string(self.path("config.json")) {
            Ok(text) => text,
            Err(_) => command("ctr").args(["oci", "spec"]).run().stdout,
        };
        let mut spec: Value = serde_json::from_str(&text).expect("the configuration is JSON");
        spec["root"] = json!({ "path": "rootfs" });
        spec["linux"]["cgroupsPath"] = json!(format!("/default/{}", self.id));
        change(&mut spec);
        fs::write(self.path("config.json"), spec.to_string()).expect("writing the configuration");
    }

    /// The configuration's `process` with other words, for an exec.
    #[track_caller]
    pub fn process(&self, words: &[&str]) -> Value {
        let spec: Value = serde_json::from_str(&crate::command::read(self.path("config.json"))).expect("JSON");
        let mut process = spec["process"].clone();
        process["args"] = json!(words);
        process
    }

    /// The shim's binary with containerd's flags and `action`.
    pub fn shim_command(&self, action: &str) -> Command {
        let binary = match self.kind {
            Kind::Runc => "containerd-shim-runc-v2",
            Kind::Wasm | Kind::Linux => "containerd-shim-wasmedge-v1",
        };
        let (namespace, socket) = (self.namespace, self.containerd.display().to_string());
        let flags =
            ["-namespace", namespace, "-address", &socket, "-publish-binary", "/usr/bin/containerd", "-id", &self.id];
        let directory = self.directory.display().to_string();
        let command = command(binary).args(flags).arg("-bundle").arg(&directory).arg(action).directory(&directory);
        let events = format!("{CONTAINERD}.ttrpc");
        command.env("TTRPC_ADDRESS", &events).env("GRPC_ADDRESS", &socket).env("NAMESPACE", namespace)
    }

    /// Starts the shim, without a task yet.
    #[track_caller]
    pub fn start(self) -> Shim {
        self.start_with(|command| command)
    }

    /// As [`Bundle::start`], where the start may fail: the bundle with the cause, then.
    ///
    /// # Errors
    /// What the command said, or why the shim cannot be reached.
    pub fn try_start(self) -> Result<Shim, (Self, String)> {
        let started = match self.shim_command("start").try_finish() {
            Ok(started) | Err(started) => started,
        };
        if started.code != 0 {
            return Err((self, started.to_string()));
        }
        let reply: Option<Value> = serde_json::from_str(&started.stdout).ok();
        let Some(address) = reply.as_ref().and_then(|reply| reply["address"].as_str()) else {
            return Err((self, format!("no address\n{started}")));
        };
        match Client::connect(address) {
            Ok(client) => {
                let socket = address.trim_start_matches("unix://").into();
                Ok(Shim { client: TaskClient::new(client), socket, bundle: self, left_alone: false })
            }
            Err(error) => Err((self, format!("connecting to {address}: {error}"))),
        }
    }

    /// As [`Bundle::start`], with a change of the command.
    #[track_caller]
    pub fn start_with(self, change: impl FnOnce(Command) -> Command) -> Shim {
        let started = change(self.shim_command("start")).run();
        let reply: Value = serde_json::from_str(&started.stdout).unwrap_or_else(|_| panic!("no address\n{started}"));
        // Version 2 is the one that every containerd takes; both serve it.
        let version = if self.kind == Kind::Runc { 3 } else { 2 };
        assert_eq!((&reply["version"], &reply["protocol"]), (&json!(version), &json!("ttrpc")), "{started}");
        let address = reply["address"].as_str().unwrap_or_else(|| panic!("no address\n{started}"));
        let client = Client::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        let socket = address.trim_start_matches("unix://").into();
        Shim { client: TaskClient::new(client), socket, bundle: self, left_alone: false }
    }
}

impl Shim {
    /// The bundle's container.
    pub fn id(&self) -> &str {
        &self.bundle.id
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// `Shutdown`, upon which the shim ends if it has no task.
    pub fn shut_down(&self) {
        let request = ShutdownRequest { id: self.id().into(), ..Default::default() };
        // The shim may end before it has answered.
        let _ = self.client.shutdown(context(), &request);
    }

    /// Lets nothing be done when this is dropped.
    pub fn leave_alone(&mut self) {
        self.left_alone = true;
    }

    /// The shim's `delete`, which containerd runs when a shim is gone.
    #[track_caller]
    pub fn clean_up(&self) -> Finished {
        self.bundle.shim_command("delete").run()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if self.left_alone {
            return;
        }
        self.shut_down();
        let id = format!("-id {}", self.bundle.id);
        let ended =
            || crate::process::Process::all().iter().all(|process| !process.command.contains(&id)).then_some(());
        if crate::within(Duration::from_secs(2), ended).is_none() {
            let all = crate::process::Process::all();
            all.iter().filter(|process| process.command.contains(&id)).for_each(crate::process::Process::kill);
        }
        // The count at the end of the scene tells what this has left.
        let _ = self.bundle.shim_command("delete").try_finish();
    }
}

/// The time limit of every call.
pub fn context() -> Context {
    ttrpc::context::with_duration(crate::patient(Duration::from_secs(20)))
}

fn failure(error: ttrpc::Error) -> Failure {
    match error {
        ttrpc::Error::RpcStatus(status) => (status.code(), status.message),
        other => (ttrpc::Code::UNKNOWN, other.to_string()),
    }
}
