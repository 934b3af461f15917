//! New resources for a container that runs.
//!
//! The files are written by hand: libcgroups can only set up a cgroup as a whole, and would set its device rules back
//! to the default. Where systemd keeps the cgroup it is told as well, lest it puts the old values back.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use nix::{
    sys::resource::RLIM_INFINITY,
    unistd::{Gid, Uid, setresgid, setresuid},
};
use oci_spec::runtime::LinuxResources;
use wasmedge_shim_protocol::{Failure, FailureKind, Location, Reply, Update};

use super::{
    cgroup::{
        files::{self, Change},
        systemd,
    },
    check,
    process::Init,
    state::{Record, State},
};
use crate::{journal, wasm::Limits};

/// Changes the resources of a container.
///
/// # Errors
/// Names the file that could not be written, and the value; what was written before it stays.
pub fn update(location: &Location, request: &Update) -> Result<Reply, Failure> {
    let state = State::new(location, &request.key);
    let internal = |error: anyhow::Error| Failure::internal(format!("{error:#}"));
    let not_found = || Failure::new(FailureKind::NotFound, format!("container {} not found", request.key));
    if !state.bundle().exists() {
        return Err(not_found());
    }
    // Held until the end: of two updates at once the last one has both the limits and the record.
    let _lock = state.lock().map_err(internal)?;
    let record = state.record().map_err(internal)?.ok_or_else(not_found)?;
    let resources: LinuxResources = serde_json::from_slice(&request.resources)
        .map_err(|error| Failure::new(FailureKind::InvalidArgument, format!("the new resources: {error}")))?;
    journal::about(&request.key, record.pod.as_ref());
    check::resources(&resources, files::is_v2(&record.cgroups))
        .map_err(|error| Failure::new(FailureKind::InvalidArgument, error.to_string()))?;
    apply(&state, record, &request.key.id, &resources).map(|()| Reply::Updated).map_err(internal)
}

fn apply(state: &State, record: Record, id: &str, resources: &LinuxResources) -> Result<()> {
    let v2 = files::is_v2(&record.cgroups);
    let find = |name: &str| record.cgroups.iter().map(|directory| directory.join(name)).find(|path| path.exists());
    let read = |name: &str| find(name).and_then(|path| fs::read_to_string(path).ok());
    // What the kernel refuses is not for systemd to know; what systemd sets along is set right afterwards.
    let changes = files::changes(resources, v2, &read);
    let write = || changes.iter().try_for_each(|Change { file, value }| files::write(&record.cgroups, file, value));
    write()?;
    if record.systemd_cgroup {
        systemd::tell(&state.config(), id, &record.cgroups, resources)?;
        write()?;
    }
    let memory =
        resources.memory().as_ref().and_then(oci_spec::runtime::LinuxMemory::limit).filter(|limit| *limit != 0);
    memory.map_or(Ok(()), |memory| set_memory(state, record, u64::try_from(memory).ok()))
}

/// Bounds the modules that run, and those to come by the record: all of it or nothing, since the next update counts from
/// what the record says.
fn set_memory(state: &State, mut record: Record, memory: Option<u64>) -> Result<()> {
    let of = |memory| Limits { memory, ..Limits::default() };
    let (before, after) = (of(record.memory), of(memory));
    let mut done = Vec::new();
    let changed = processes(&record).into_iter().try_for_each(|process| {
        rebound(process, &before, &after).with_context(|| format!("cannot bound process {}", process.pid))?;
        done.push(process);
        Ok(())
    });
    record.memory = after.memory;
    changed.and_then(|()| state.save(&record)).inspect_err(|_| {
        for process in done {
            if let Err(error) = rebound(process, &after, &before) {
                log::warn!("the bound of process {} is not as before: {error:#}", process.pid);
            }
        }
    })
}

/// The processes of the container that run modules may be any: all are looked at.
fn processes(record: &Record) -> Vec<Init> {
    let procs = record.cgroups.first().and_then(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok());
    let pids = procs.iter().flat_map(|text| text.lines()).filter_map(|pid| pid.parse().ok());
    pids.filter_map(Init::of).filter(|process| runs_module(process.pid)).collect()
}

/// A module's process is a fork of the engine and stays one.
fn runs_module(pid: i32) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/exe")).ok();
    of("self").is_some() && of("self") == of(&pid.to_string())
}

/// Moves the bound on a module's memory by as much as its limit has moved.
fn rebound(process: Init, before: &Limits, after: &Limits) -> Result<()> {
    let old = match limit_of(process.pid, None) {
        // It has ended meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
        old => old?,
    };
    if old.rlim_cur == RLIM_INFINITY {
        return Ok(());
    }
    // The hard limit is what the container was given for itself.
    let moved = old.rlim_cur.saturating_sub(before.data()).saturating_add(after.data());
    let new = libc::rlimit { rlim_cur: moved.min(old.rlim_max), ..old };
    let set = become_user_of(process.pid).and_then(|()| Ok(limit_of(process.pid, Some(&new))?));
    // Back, for the next one.
    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    set.map(drop)
}

/// Reads the limits on a process's private memory, and sets `new` ones.
fn limit_of(pid: i32, new: Option<&libc::rlimit>) -> io::Result<libc::rlimit> {
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes one structure each.
    match unsafe { libc::prlimit(pid, libc::RLIMIT_DATA, new, &raw mut old) } {
        0 => Ok(old),
        _ => Err(io::Error::last_os_error()),
    }
}

/// prlimit(2) lets the user of a process change its limits, and those with `CAP_SYS_RESOURCE`, which a host need not
/// have.
fn become_user_of(pid: i32) -> Result<()> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let id = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|ids| ids.split_whitespace().next()?.parse::<u32>().ok()).context("no user in /proc/PID/status")
    };
    let (uid, gid) = (Uid::from_raw(id("Uid:")?), Gid::from_raw(id("Gid:")?));
    setresgid(gid, gid, Gid::from_raw(0))?;
    setresuid(uid, uid, Uid::from_raw(0))?;
    Ok(())
}
