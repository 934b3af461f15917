//! The bound on a module's memory: the guest's linear memories and what the engine needs for them.
//!
//! The kernel keeps it (`RLIMIT_DATA`: private writable memory), so that it can be changed while the module runs: the
//! host follows an update of the container's limit with prlimit(2). What the process inherited from the host counts
//! for the kernel's limit but costs the container nothing, so it comes on top.

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
};

use nix::{
    fcntl::OFlag,
    sys::{
        resource::{Resource, setrlimit},
        stat::Mode,
    },
};

use super::interpose::{self, ENGINE_SLACK};
use crate::wasm::{Limits, PAGE};

/// Private writable memory that this process has mapped (`VmData`, proc_pid_status(5)), in bytes. `proc` is a
/// descriptor of a proc filesystem.
pub fn in_use(proc: RawFd) -> io::Result<u64> {
    // SAFETY: kept open by the worker that made this process.
    let proc = unsafe { BorrowedFd::borrow_raw(proc) };
    let status = nix::fcntl::openat(proc, "self/status", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let status = io::read_to_string(std::fs::File::from(status))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmData in /proc/self/status"))
}

/// Sets the bound for a module that has been loaded; `inherited` is what was [`in_use`] before.
///
/// Only the soft limit: raising the hard one again takes a privilege that not every host has. The module cannot.
pub fn bound(limits: &Limits, inherited: u64) -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_DATA, inherited + limits.data() + ENGINE_SLACK, libc::RLIM_INFINITY)?)
}

/// Makes the bound that of the linear memories, too: `memory.grow` fails before the engine is out of memory. They may
/// have `pages` pages in any case.
pub fn enforce(proc: RawFd, pages: Option<u64>) -> io::Result<()> {
    interpose::bound_linear_memory(in_use(proc)?, pages.map_or(u64::MAX, |pages| pages.saturating_mul(PAGE)));
    Ok(())
}
