//! Removing a container: what is left of it after its end, or after a creation that was cut short.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use libcgroups::common::{AnyCgroupManager, CgroupManager};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use oci_spec::runtime::Spec;
use wasmedge_shim_protocol::{ContainerKey, Deleted, ExitStatus, Failure, Location, Pidfd, Reply};

use super::{
    cgroup, hooks,
    mounts::rootfs,
    state::{Init, State},
};

/// How long an init may take to die of SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Removes the container `key`, if there is anything of it.
pub fn delete(location: &Location, key: &ContainerKey) -> Result<Reply, Failure> {
    let state = State::new(location, key);
    remove(&state, key).map(Reply::Deleted).map_err(|error| Failure::internal(format!("{error:#}")))
}

/// As [`delete`], by the state's handle.
pub fn remove(state: &State, key: &ContainerKey) -> Result<Deleted> {
    let mut deleted = Deleted { pid: 0, status: None };
    if let Some(record) = state.load() {
        if let Some(worker) = record.worker.filter(|worker| worker.pid != std::process::id().cast_signed()) {
            end_group(worker)?;
        }
        if let Some(init) = record.init {
            deleted.pid = init.pid.unsigned_abs();
            deleted.status = end(init)?;
        }
        if record.cgroups.is_empty() {
            remove_computed_cgroup(state, key, record.systemd_cgroup)?;
        }
        if record.systemd_cgroup {
            cgroup::systemd::end(&state.config(), &key.id, &record.cgroups)?;
        }
        cgroup::remove(&record.cgroups)?;
        rootfs::unmount(&record.bundle)
            .with_context(|| format!("cannot unmount {}", rootfs::target(&record.bundle).display()))?;
    }
    let late_hooks = state.load().filter(|record| record.late_hooks);
    state.remove().with_context(|| format!("cannot remove {}", state.bundle().display()))?;
    if let Some(record) = late_hooks
        && let Err(cause) = hooks::run(key, &record.bundle, hooks::Moment::Stopped)
    {
        log::warn!("{key}: {cause}");
    }
    Ok(deleted)
}

/// Ends an init that still runs: one whose host has died.
fn end(init: Init) -> Result<Option<ExitStatus>> {
    let Ok(pidfd) = Pidfd::open(init.pid) else { return Ok(None) };
    if !init.exists() {
        return Ok(None);
    }
    // It may have ended by now, which is what is wanted.
    let _ = pidfd.send_signal(libc::SIGKILL);
    ensure!(pidfd.wait(KILL_TIMEOUT)?, "process {} does not end after SIGKILL", init.pid);
    Ok(pidfd.exit_status())
}

/// Ends a worker that still makes the container, for a host that has died, and its helpers. An init that has left the
/// group is in the container's cgroup.
fn end_group(worker: Init) -> Result<()> {
    if !worker.exists() {
        return Ok(());
    }
    let group = Pid::from_raw(worker.pid);
    let deadline = Instant::now() + KILL_TIMEOUT;
    while killpg(group, Signal::SIGKILL) != Err(Errno::ESRCH) && !only_zombies(group) {
        ensure!(Instant::now() < deadline, "the worker {} does not end after SIGKILL", worker.pid);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Whether the group's leader is dead, though not reaped yet by its new parent.
fn only_zombies(leader: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{leader}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, fields)| fields.trim_start().starts_with('Z'))
}

/// The cgroups of a container whose creation ended before they could be read from its init.
fn remove_computed_cgroup(state: &State, key: &ContainerKey, systemd_cgroup: bool) -> Result<()> {
    let Ok(text) = fs::read(state.config()) else { return Ok(()) };
    let Ok(spec) = serde_json::from_slice::<Spec>(&text) else { return Ok(()) };
    let manager = cgroup::systemd::manager(&spec, &key.id, systemd_cgroup)?;
    kill_members(&manager);
    manager.remove().context("cannot remove the cgroup")?;
    // Not all of them are known to libcgroups.
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).filter(|path| path.is_absolute());
    if let Some(path) = path {
        cgroup::remove(&cgroup::Place::new(&path)?.directories())?;
    }
    Ok(())
}

fn kill_members(manager: &AnyCgroupManager) {
    for _ in 0..100 {
        let pids = manager.get_all_pids().unwrap_or_default();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            // One that has ended meanwhile is no loss. The id type is that of libcgroups' own nix.
            let _ = kill(nix::unistd::Pid::from_raw(pid.as_raw()), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
