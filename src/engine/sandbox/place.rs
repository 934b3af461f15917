//! The third stage of a creation: the spec becomes what libcontainer is to build, and what the new process will meet is
//! prepared on the node. No process of the container is there yet.

use std::{
    fs::{self, File},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::Path,
};

use anyhow::{Context, Result};
use nix::{
    sys::stat::{SFlag, fstat},
    unistd::{Uid, fchown},
};
use oci_spec::runtime::Spec;
use wasmedge_shim_protocol::Create;

use super::{
    by_hand,
    cgroup::{self, resources::Left},
    console::ConsoleSocket,
    devices,
    mounts::{
        destinations::{self, ReadOnly},
        hidden, staging,
    },
    native_code::NativeCode,
    plan::Plan,
    pod::Shared,
    state::State,
    translate::{self, ByHand},
    userns,
    workload::Workload,
};
use crate::guest::{GuestExecutor, Sandbox, apparmor, take_seccomp_profile};

/// A container that only lacks its processes.
pub struct Placed {
    /// What libcontainer builds.
    pub spec: Spec,
    /// What it does not: done beside it for a module.
    pub by_hand: Option<ByHand>,
    /// Resources that are set when the container is made.
    pub left: Left,
    /// Devices that are made when the container is.
    pub devices: devices::Left,
    /// Mounts that become read-only when all is in them.
    pub read_only: ReadOnly,
    /// Runs the program.
    pub executor: GuestExecutor,
    /// Where the terminal's master comes.
    pub console: Option<ConsoleSocket>,
    /// The node's number of its user.
    pub owner: u32,
    /// Descriptors that its processes are made with, beside their streams. None of them leads to the node: its user namespace,
    /// those of its pod, its native code.
    pub descriptors: Vec<RawFd>,
    /// Keeps them open.
    _kept: (Option<OwnedFd>, Option<File>, Shared),
}

/// Prepares the container.
///
/// The order: where mounts go is settled first, by the spec as it came, and then a module's is stripped, since what is taken out
/// of it must not be built by the steps that follow. Devices are made in the root before anything is mounted in it. The cgroup
/// mount is next, as it adds bind mounts, whose sources are staged after that, in the user namespace that is
/// made in between. The spec is written down last, when it is complete.
///
/// # Errors
/// Names what cannot be had.
pub fn place(state: &State, request: &Create, plan: Plan, workload: &Workload, stdio: &[OwnedFd; 3]) -> Result<Placed> {
    let Plan { mut spec, shared, root, settings, limits, owner, start_hooks, .. } = plan;
    give_to_user(owner, stdio)?;
    let tree = destinations::settle(&mut spec, &root)?;
    let by_hand = workload.is_module().then(|| translate::for_module(&mut spec));
    if workload.is_module() {
        hidden::hide(&mut spec, &request.bundle)?;
    }
    let read_only = ReadOnly::take(&mut spec);
    let devices = devices::take(&mut spec, &tree)?;
    devices.make_in_root(&root)?;
    cgroup::mount::replace(&mut spec).context("cannot prepare the cgroup mount")?;
    let left = cgroup::resources::take(&mut spec, request.options.systemd_cgroup);
    let seccomp_profile = take_seccomp_profile(&mut spec, workload.is_module());
    let user_namespace = userns::make(&mut spec)?;
    staging::stage(&mut spec, &request.bundle, user_namespace.as_ref())?;
    save(&spec, &state.config())?;
    if let Some(by_hand) = &by_hand {
        by_hand::before(by_hand)?;
    }
    let apparmor_profile = by_hand.as_ref().and_then(|by_hand| by_hand.apparmor_profile.clone());
    let proc = proc_for(apparmor_profile.as_deref())?;
    let sandbox = Sandbox {
        for_module: workload.is_module(),
        limits,
        seccomp: seccomp_profile,
        apparmor_profile,
        proc: proc.as_ref().map(AsRawFd::as_raw_fd),
        hooks: start_hooks.is_some(),
        native: workload.code().map(NativeCode::for_process),
        settings,
    };
    let namespace = user_namespace.as_ref().map(AsRawFd::as_raw_fd);
    let descriptors = sandbox.descriptors().into_iter().chain(namespace).chain(shared.descriptors()).collect();
    Ok(Placed {
        spec,
        by_hand,
        left,
        devices,
        read_only,
        executor: GuestExecutor::new(sandbox, start_hooks),
        console: request.terminal.then(|| ConsoleSocket::new(state)).transpose()?,
        owner,
        descriptors,
        _kept: (user_namespace, proc, shared),
    })
}

/// The node's `/proc`, for a module's process that is to get a profile by a kernel that sets none without it.
pub fn proc_for(profile: Option<&str>) -> Result<Option<File>> {
    match profile {
        Some(_) if !apparmor::needs_no_proc() => Ok(Some(File::open("/proc").context("cannot open /proc")?)),
        _ => Ok(None),
    }
}

/// The container's user owns its standard streams, so that it may open them again by `/dev/stdout`, as under runc.
/// What is no pipe (`/dev/null`) stays as it is.
fn give_to_user(owner: u32, stdio: &[OwnedFd; 3]) -> Result<()> {
    for stream in stdio {
        if SFlag::from_bits_truncate(fstat(stream)?.st_mode).contains(SFlag::S_IFIFO) {
            fchown(stream, Some(Uid::from_raw(owner)), None)
                .context("cannot give a stdio pipe to the container's user")?;
        }
    }
    Ok(())
}

fn save(spec: &Spec, path: &Path) -> Result<()> {
    fs::write(path, serde_json::to_vec(spec)?).with_context(|| format!("cannot write {}", path.display()))
}
