//! A shim without containerd: started and called as containerd does it, for what no client lets one do.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use containerd_shim_protos::{
    Client, TaskClient,
    api::{
        CreateTaskRequest, CreateTaskResponse, DeleteRequest, KillRequest, ShutdownRequest, StartRequest, StateRequest,
        WaitRequest,
    },
    protobuf::well_known_types::any::Any,
    ttrpc::{self, context::Context},
};
use serde_json::{Value, json};

use crate::{Command, Finished, Kind, command, docker};

/// containerd's namespace for these containers.
const NAMESPACE: &str = "default";

/// Exit code and message of a call that failed, by the names of gRPC's codes.
pub type Failure = (ttrpc::Code, String);

/// A bundle as containerd makes it: configuration, root file system, and the shim that serves it.
pub struct Bundle {
    /// The container's id.
    pub id: String,
    directory: PathBuf,
    kind: Kind,
}

/// A shim that serves a bundle. Dropped, it is killed and cleaned up after, as containerd would.
pub struct Shim {
    /// The task API.
    pub client: TaskClient,
    bundle: Bundle,
}

impl Bundle {
    /// A bundle in `directory` whose process is `words`, with the root file system of `kind`'s image.
    #[track_caller]
    pub fn new(id: String, kind: Kind, directory: &Path, words: &[&str]) -> Self {
        let bundle = Self { id, directory: directory.join("bundle"), kind };
        fs::create_dir_all(bundle.path("rootfs")).expect("making a bundle");
        // containerd makes a FIFO here, for the shim's messages.
        fs::write(bundle.path("log"), "").expect("making the bundle's log");
        bundle.unpack();
        bundle.configure(|spec| spec["process"]["args"] = json!(words));
        bundle
    }

    /// A file of the bundle.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn unpack(&self) {
        let container = docker::Run::new(format!("{}-rootfs", self.id), self.kind).create(["none"]);
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

    /// The shim's binary with containerd's flags and `action`.
    pub fn shim_command(&self, action: &str) -> Command {
        let binary = match self.kind {
            Kind::Runc => "containerd-shim-runc-v2",
            Kind::Wasm | Kind::Linux => "containerd-shim-wasmedge-v1",
        };
        let socket = "/run/containerd/containerd.sock";
        let flags =
            ["-namespace", NAMESPACE, "-address", socket, "-publish-binary", "/usr/bin/containerd", "-id", &self.id];
        let directory = self.directory.display().to_string();
        let command = command(binary).args(flags).arg("-bundle").arg(&directory).arg(action).directory(&directory);
        command.env("TTRPC_ADDRESS", &format!("{socket}.ttrpc")).env("GRPC_ADDRESS", socket).env("NAMESPACE", NAMESPACE)
    }

    /// Starts the shim, without a task yet.
    #[track_caller]
    pub fn start(self) -> Shim {
        let started = self.shim_command("start").run();
        let reply: Value = serde_json::from_str(&started.stdout).unwrap_or_else(|_| panic!("no address\n{started}"));
        assert_eq!((&reply["version"], &reply["protocol"]), (&json!(3), &json!("ttrpc")), "{started}");
        let address = reply["address"].as_str().unwrap_or_else(|| panic!("no address\n{started}"));
        let client = Client::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
        Shim { client: TaskClient::new(client), bundle: self }
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

    /// `Create` without standard streams.
    pub fn create(&self) -> Result<CreateTaskResponse, Failure> {
        self.create_with(None)
    }

    /// `Create` with runtime options.
    pub fn create_with(&self, options: Option<Any>) -> Result<CreateTaskResponse, Failure> {
        let bundle = self.bundle.directory.display().to_string();
        let mut request = CreateTaskRequest { id: self.id().into(), bundle, ..Default::default() };
        request.options = options.into();
        self.client.create(context(), &request).map_err(failure)
    }

    /// `Start`: the pid.
    pub fn start(&self) -> Result<u32, Failure> {
        let request = StartRequest { id: self.id().into(), ..Default::default() };
        self.client.start(context(), &request).map(|response| response.pid).map_err(failure)
    }

    /// `State`: pid, status as a number of `containerd.types.Status`, exit code.
    pub fn state(&self) -> Result<(u32, i32, u32), Failure> {
        let request = StateRequest { id: self.id().into(), ..Default::default() };
        let state = self.client.state(context(), &request).map_err(failure)?;
        Ok((state.pid, state.status.value(), state.exit_status))
    }

    /// `Kill` with a signal's number.
    pub fn kill(&self, signal: u32) -> Result<(), Failure> {
        let request = KillRequest { id: self.id().into(), signal, ..Default::default() };
        self.client.kill(context(), &request).map(drop).map_err(failure)
    }

    /// `Wait`: the exit code.
    pub fn wait(&self) -> Result<u32, Failure> {
        let request = WaitRequest { id: self.id().into(), ..Default::default() };
        self.client.wait(context(), &request).map(|response| response.exit_status).map_err(failure)
    }

    /// `Delete`: pid and exit code.
    pub fn delete(&self) -> Result<(u32, u32), Failure> {
        let request = DeleteRequest { id: self.id().into(), ..Default::default() };
        self.client.delete(context(), &request).map(|response| (response.pid, response.exit_status)).map_err(failure)
    }

    /// `Shutdown`, upon which the shim ends if it has no task.
    pub fn shut_down(&self) {
        let request = ShutdownRequest { id: self.id().into(), ..Default::default() };
        // The shim may end before it has answered.
        let _ = self.client.shutdown(context(), &request);
    }

    /// The shim's `delete`, which containerd runs when a shim is gone.
    #[track_caller]
    pub fn clean_up(&self) -> Finished {
        self.bundle.shim_command("delete").run()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
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
    ttrpc::context::with_duration(Duration::from_secs(20))
}

fn failure(error: ttrpc::Error) -> Failure {
    match error {
        ttrpc::Error::RpcStatus(status) => (status.code(), status.message),
        other => (ttrpc::Code::UNKNOWN, other.to_string()),
    }
}
