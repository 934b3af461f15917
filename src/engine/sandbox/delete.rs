//! Removing a container: what is left of it after its end, or after a creation that was cut short.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
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
    process::Init,
    state::{Record, State},
};
use crate::journal;

/// How long an init may take to die of SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Removes the container `key`, if there is anything of it. `known` are its cgroups, where the host knows them.
pub fn delete(location: &Location, key: &ContainerKey, known: &[PathBuf]) -> Result<Reply, Failure> {
    let state = State::new(location, key);
    let removed = remove_all(&state, key, known);
    removed.map(Reply::Deleted).map_err(|error| Failure::internal(format!("{error:#}")))
}

/// As [`delete`], by the state's handle.
pub fn remove(state: &State, key: &ContainerKey) -> Result<Deleted> {
    remove_all(state, key, &[])
}

fn remove_all(state: &State, key: &ContainerKey, known: &[PathBuf]) -> Result<Deleted> {
    let found = find(state, key, known)?;
    let mut deleted = Deleted { pid: 0, status: None };
    if let Some(record) = &found {
        journal::about(key, record.pod.as_ref());
        deleted = end_processes(record)?;
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
    state.remove().with_context(|| format!("cannot remove {}", state.bundle().display()))?;
    if let Some(record) = found.filter(|record| record.late_hooks)
        && let Err(cause) = hooks::run(key, &record.bundle, hooks::Moment::Stopped)
    {
        log::warn!("{cause}");
    }
    Ok(deleted)
}

/// What was made for the container; `None` where nothing was. A record that cannot be understood, or is lost, is made up
/// for by what the translated spec and the host tell.
///
/// # Errors
/// Where that is not enough to know that nothing stays: what is known of the container is kept then.
fn find(state: &State, key: &ContainerKey, known: &[PathBuf]) -> Result<Option<Record>> {
    let cause = match state.record() {
        Ok(Some(record)) => return Ok(Some(record)),
        // The spec is written after the first record.
        Ok(None) if known.is_empty() && !state.config().exists() => return Ok(None),
        Ok(None) => "its record is gone".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    log::warn!("{key} is removed by what else is known of it: {cause}");
    let mut record = state.remains();
    let spec = read_spec(&state.config());
    if record.cgroups.is_empty() {
        record.cgroups = known.to_vec();
    }
    if let Some(spec) = &spec {
        let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone());
        record.systemd_cgroup |= path.as_ref().is_some_and(|path| !path.is_absolute());
        if record.cgroups.is_empty()
            && let Some(path) = path.filter(|path| path.is_absolute())
        {
            record.cgroups = cgroup::Place::new(&path)?.directories();
        }
        if record.bundle.as_os_str().is_empty() {
            record.bundle = bundle_of(spec).unwrap_or_default();
        }
    }
    if record.cgroups.is_empty() && !record.systemd_cgroup {
        bail!("it is not known what is left of {key}, its state stays in {}: {cause}", state.bundle().display());
    }
    Ok(Some(record))
}

/// The bundle whose root filesystem is the root directory of the translated spec.
fn bundle_of(spec: &Spec) -> Option<PathBuf> {
    let root = spec.root().as_ref()?.path();
    let bundle = root.parent()?;
    (rootfs::target(bundle) == *root).then(|| bundle.to_owned())
}

fn read_spec(path: &Path) -> Option<Spec> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Ends the worker that makes the container, and its init, for a host that has died.
fn end_processes(record: &Record) -> Result<Deleted> {
    let mut deleted = Deleted { pid: 0, status: None };
    if let Some(worker) = record.worker.filter(|worker| worker.pid != std::process::id().cast_signed()) {
        end_group(worker)?;
    }
    if let Some(init) = record.init {
        deleted.pid = init.pid.unsigned_abs();
        deleted.status = end(init, &record.cgroups)?;
    }
    Ok(deleted)
}

/// Ends an init that still runs.
fn end(init: Init, cgroups: &[PathBuf]) -> Result<Option<ExitStatus>> {
    let Ok(pidfd) = Pidfd::open(init.pid) else { return Ok(None) };
    if !init.exists() {
        return Ok(None);
    }
    // It may have ended by now, which is what is wanted.
    let _ = pidfd.send_signal(libc::SIGKILL);
    // A paused one dies when it may go on.
    cgroup::thaw(cgroups);
    if !pidfd.wait(KILL_TIMEOUT / 10)? {
        cgroup::kill_all(cgroups);
    }
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
    let Some(spec) = read_spec(&state.config()) else { return Ok(()) };
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).filter(|path| path.is_absolute());
    if let Some(path) = &path {
        cgroup::kill_all(&cgroup::Place::new(path)?.directories());
    }
    let manager = cgroup::systemd::manager(&spec, &key.id, systemd_cgroup)?;
    kill_members(&manager);
    manager.remove().context("cannot remove the cgroup")?;
    // Not all of them are known to libcgroups.
    if let Some(path) = path {
        cgroup::remove(&cgroup::Place::new(&path)?.directories())?;
    }
    Ok(())
}

/// Ends the processes in a cgroup that only libcgroups finds, one of systemd's.
fn kill_members(manager: &AnyCgroupManager) {
    for _ in 0..100 {
        let pids = manager.get_all_pids().unwrap_or_default();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            // One that has ended meanwhile is no loss. The id type is that of libcgroups' own nix.
            let _ = kill(Pid::from_raw(pid.as_raw()), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(root: &Path) -> (State, ContainerKey) {
        let key = ContainerKey { namespace: "default".into(), id: "unit".into() };
        let state = State::new(&Location::new(root), &key);
        state.make().unwrap();
        (state, key)
    }

    // Regression test for C7: a record that was not understood counted as none, and all of the container stayed.
    #[test]
    fn a_container_of_which_nothing_is_known_is_not_called_removed() {
        let root = tempfile::tempdir().unwrap();
        let (state, key) = state(root.path());
        fs::write(state.bundle().join("record.json"), "{\"bun").unwrap();
        let error = format!("{:#}", remove(&state, &key).unwrap_err());
        let expected =
            format!("it is not known what is left of default/unit, its state stays in {}", state.bundle().display());
        assert!(error.starts_with(&expected), "{error}");
        assert!(state.bundle().exists());
    }

    #[test]
    fn a_creation_that_ended_before_it_made_anything_leaves_nothing_to_remove() {
        let root = tempfile::tempdir().unwrap();
        let (state, key) = state(root.path());
        assert_eq!(remove(&state, &key).unwrap(), Deleted { pid: 0, status: None });
        assert!(!state.bundle().exists());
    }

    #[test]
    fn the_bundle_is_told_by_the_root_directory() {
        let spec = |root: &str| -> Spec {
            let mut spec = Spec::default();
            spec.root_mut().as_mut().unwrap().set_path(root.into());
            spec
        };
        assert_eq!(bundle_of(&spec("/run/b/rootfs")), Some("/run/b".into()));
        assert_eq!(bundle_of(&spec("/srv/root")), None);
    }
}
