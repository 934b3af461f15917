//! The action `start`: leaves a daemon behind and answers its address.
//!
//! containerd waits for it each time it makes a pod, so it does one thing after the other with nothing in between: no
//! second execve, as the daemon is a fork of this process; no runtime before the fork, as that needs a process with a
//! single thread; no waiting for the daemon, as its socket listens from here on.

use std::{
    collections::HashMap,
    fs, io,
    io::Write,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use containerd_shim::{Flags, StartOpts, cgroup::set_cgroup_and_oom_score, protos::shim::oci::Options as RuncOptions};
use nix::unistd::{ForkResult, fork};
use serde::Deserialize;
use wasmedge_shim_protocol::{Location, PodName};

use crate::{
    bootstrap::{self, Age},
    engine::{Launcher, Source, TTRPC_ADDRESS},
    limits,
    options::Options,
    serve::{self, Daemon},
    socket,
    starting::Entry,
    title, trim,
};

/// Annotations that group containers into one shim: containerd's own, and the CRI's name of the pod sandbox.
const GROUP_ANNOTATIONS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// The directory of containerd's sandbox controller, which is named after the plugin.
const CONTROLLER: &str = "io.containerd.sandbox.controller.v1.shim";

/// Answers the address of the pod's daemon, which this makes unless there is one. In the daemon it returns in the end.
pub fn command(flags: &Flags) -> Result<ExitCode> {
    let (options, age) = bootstrap::read(flags)?;
    let Options { engine, engine_directory, .. } = Options::of(options.extensions.first())?;
    let source = Source::new(engine, engine_directory);
    source.remember().context("cannot write to the bundle")?;
    let launcher = Launcher::new(source);
    let group = Grouping::read(&options.id)?;
    let address = options.socket_address(&group.sandbox);
    // First of all: by it `delete` finds the socket of a daemon that was killed.
    fs::write("address", &address).context("cannot write to the bundle")?;
    let socket = PathBuf::from(address.trim_start_matches("unix://"));
    if group.sandbox != options.id && socket::is_served(&socket) {
        bootstrap::answer(&address, age)?;
        return Ok(ExitCode::SUCCESS);
    }
    let age = if group.for_sandbox { age.with_sandboxes() } else { age };
    make_daemon(&options, launcher, &address, &socket, group, age)
}

fn make_daemon(
    options: &StartOpts,
    launcher: Launcher,
    address: &str,
    socket: &Path,
    group: Grouping,
    age: Age,
) -> Result<ExitCode> {
    // Started from here it is in containerd's cgroup, as shims are, and not in one that ShimCgroup names.
    let engine = launcher.connect()?;
    let location = Location::default();
    crate::starting::sweep(&location);
    let entry =
        Entry::announce(&location, socket).with_context(|| format!("cannot use {}", location.starting().display()))?;
    let Some(listener) = socket::listen(socket)? else {
        // Another container of the pod was faster.
        entry.end();
        bootstrap::answer(address, age)?;
        return Ok(ExitCode::SUCCESS);
    };
    let (answered, mut tell) = io::pipe()?;
    // SAFETY: the process has one thread.
    match unsafe { fork().context("cannot make the daemon")? } {
        ForkResult::Child => {
            drop(tell);
            let daemon = Daemon {
                namespace: options.namespace.clone(),
                sandbox: group.sandbox,
                for_sandbox: group.for_sandbox,
                pod: group.pod,
                debug: options.debug,
                socket: socket.to_owned(),
                identity: socket::Identity::of(socket),
                containerd: options.address.trim_start_matches("unix://").into(),
                events: options.ttrpc_address.clone(),
                listener,
                answered,
                entry,
                launcher,
                engine,
            };
            become_daemon(daemon).map(|()| ExitCode::SUCCESS)
        }
        ForkResult::Parent { child } => {
            // Its lock is the daemon's from here on: to drop it would be to release it.
            std::mem::forget(entry);
            let runc = options.extension::<RuncOptions>().ok().flatten().unwrap_or_default();
            if let Err(error) = set_cgroup_and_oom_score(child.as_raw().unsigned_abs(), &runc.shim_cgroup) {
                // It ends by itself, as it is not told of an answer.
                bail!("cannot confine the shim: {error}");
            }
            bootstrap::answer(address, age)?;
            // A daemon that is gone has its socket closed: containerd will see.
            let _ = tell.write_all(&[serve::ANSWERED]);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn become_daemon(daemon: Daemon) -> Result<()> {
    // Not to be reached by signals for containerd's process group. It fails only for a group's leader.
    let _ = nix::unistd::setsid();
    // containerd waits for the end of what `start` writes.
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(null.as_fd())?;
    nix::unistd::dup2_stdout(null.as_fd())?;
    nix::unistd::dup2_stderr(null.as_fd())?;
    drop(null);
    title::drop_action();
    limits::raise().context("cannot raise the limit on descriptors")?;
    socket::take_over(&daemon.listener)?;
    // SAFETY: the process has one thread.
    unsafe { std::env::set_var(TTRPC_ADDRESS, &daemon.events) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(trim::when_due).build()?;
    runtime.block_on(serve::serve(daemon))
}

/// What containers of one shim share.
struct Grouping {
    /// A name: the id of the pod's sandbox, or of the one container.
    sandbox: String,
    /// Whether the pod has no container of its own, so that the shim is to hold it.
    for_sandbox: bool,
    /// What Kubernetes calls the pod, where a container says so.
    pod: Option<PodName>,
}

impl Grouping {
    /// By the spec of the container `id`. containerd runs `start` in the bundle; that of a sandbox has no spec.
    fn read(id: &str) -> Result<Self> {
        let text = match fs::read("config.json") {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_sandbox(&std::env::current_dir()?) => {
                return Ok(Self { sandbox: id.to_owned(), for_sandbox: true, pod: None });
            }
            text => text.context("cannot read config.json")?,
        };
        let spec: Annotated = serde_json::from_slice(&text).context("config.json is not an OCI runtime spec")?;
        let group = GROUP_ANNOTATIONS.iter().find_map(|name| spec.annotations.get(*name));
        let sandbox = group.filter(|group| !group.is_empty()).map_or_else(|| id.to_owned(), Clone::clone);
        let pod = PodName::of(&spec.annotations).map(|pod| PodName { container: String::new(), ..pod });
        Ok(Self { sandbox, for_sandbox: false, pod })
    }
}

/// Whether a bundle is one of containerd's sandbox controller: `…/CONTROLLER/NAMESPACE/ID`.
fn is_sandbox(bundle: &Path) -> bool {
    bundle.ancestors().nth(2).and_then(Path::file_name).is_some_and(|name| name == CONTROLLER)
}

/// The one part of a spec that matters here; parsing the rest would take most of this program's time.
#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_is_known_by_where_its_bundle_is() {
        let of = |path: &str| is_sandbox(Path::new(path));
        assert!(of("/run/containerd/io.containerd.sandbox.controller.v1.shim/k8s.io/pod"));
        assert!(!of("/run/containerd/io.containerd.runtime.v2.task/k8s.io/pod"));
        assert!(!of("/io.containerd.sandbox.controller.v1.shim/pod"));
        assert!(!of("/"));
    }
}
