//! The actions `start` and `delete`, and the question what this runtime is.

use std::{collections::HashMap, path::Path};

use anyhow::Context;
use async_trait::async_trait;
use containerd_shim::{
    Config, DeleteResponse, Error, Flags, Result, StartOpts,
    asynchronous::{publisher::RemotePublisher, spawn},
    protos::{protobuf::well_known_types::any::Any, shim_async::Client, types::introspection::RuntimeInfo},
    util::{read_file_to_str, write_str_to_file},
};
use serde::Deserialize;
use wasmedge_shim_protocol::{ContainerKey, Location};

use crate::{bootstrap, cleanup, engine::Launcher, features, options::Options, starting};

/// Annotations that group containers into one shim: containerd's own, and the CRI's name of the pod sandbox.
const GROUP_ANNOTATIONS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// One invocation of this program for `delete` or `-info`.
pub struct Shim {
    key: ContainerKey,
}

/// The task service is served by `serve`, not by containerd-shim: that serves the task API in its third version only.
pub struct NoService;

impl containerd_shim::Task for NoService {}

#[async_trait]
impl containerd_shim::asynchronous::Shim for Shim {
    type T = NoService;

    async fn new(_runtime_id: &str, flags: &Flags, _config: &mut Config) -> Self {
        Self { key: ContainerKey { namespace: flags.namespace.clone(), id: flags.id.clone() } }
    }

    /// Not reached: `start` is answered by [`start_command`], see [`bootstrap`].
    async fn start_shim(&mut self, _opts: StartOpts) -> Result<String> {
        Err(Error::Unimplemented("start".to_owned()))
    }

    async fn delete_shim(&mut self) -> Result<DeleteResponse> {
        let deleted = cleanup::delete(&self.key).await.map_err(|error| Error::Other(format!("{error:#}")))?;
        let mut response = DeleteResponse::new();
        response.set_pid(deleted.pid);
        response.set_exit_status(deleted.status.code);
        response.set_exited_at(crate::events::timestamp(deleted.status));
        Ok(response)
    }

    async fn wait(&mut self) {}

    fn runtime_info(name: &str, _options: Option<&Any>) -> Result<RuntimeInfo> {
        Ok(features::runtime_info(name))
    }

    async fn create_task_service(&self, _publisher: RemotePublisher) -> NoService {
        NoService
    }
}

/// The action `start`: leaves a daemon behind and answers its address.
pub async fn start_command(flags: &Flags) -> anyhow::Result<()> {
    let (options, age) = bootstrap::read(flags)?;
    bootstrap::answer(&start(options).await?, age)
}

/// Leaves a daemon behind, unless the pod has one; its address.
async fn start(opts: StartOpts) -> anyhow::Result<String> {
    let options = Options::from_extensions(&opts.extensions)?;
    let launcher = Launcher::new(options.engine);
    launcher.remember().context("cannot write to the bundle")?;
    let group = grouping(&opts.id).await?;
    let address = opts.socket_address(&group);
    // First of all: by it `delete` finds the socket of a daemon that was killed.
    write_str_to_file("address", &address).await?;
    if group == opts.id || Client::connect(&address).await.is_err() {
        // Started from here it is in containerd's cgroup, as shims are, and not in one that ShimCgroup names.
        launcher.ensure_running().await?;
        let location = Location::default();
        starting::sweep(&location);
        let socket = Path::new(address.trim_start_matches("unix://"));
        let _entry = starting::Entry::announce(&location, socket)
            .with_context(|| format!("cannot use {}", location.starting().display()))?;
        spawn(opts, &group, Vec::new()).await?;
    }
    Ok(address)
}

/// The name that containers of one shim share. containerd runs `start` in the bundle.
async fn grouping(id: &str) -> anyhow::Result<String> {
    let text = read_file_to_str("config.json").await?;
    let spec: Annotated = serde_json::from_str(&text).context("config.json is not an OCI runtime spec")?;
    let group = GROUP_ANNOTATIONS.iter().find_map(|name| spec.annotations.get(*name));
    Ok(group.filter(|group| !group.is_empty()).map_or_else(|| id.to_owned(), Clone::clone))
}

/// The one part of a spec that matters here; parsing the rest would take most of this program's time.
#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: HashMap<String, String>,
}
