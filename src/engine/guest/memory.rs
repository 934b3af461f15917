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
        resource::{Resource, getrlimit, setrlimit},
        stat::Mode,
    },
};

use super::interpose::{self, ENGINE_SLACK};
use crate::wasm::{Limits, PAGE};

/// Addresses that WasmEdge 0.17.1 reserves for each linear memory, used or not (`lib/system/allocator.cpp`), in bytes.
const RESERVED: u64 = 12 << 30;

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

/// Sets the bound for a module that has been loaded; `inherited` is what was [`in_use`] before. A limit that the process
/// has already, from its container or from whoever started the engine, stays: the smaller one counts.
///
/// Only the soft limit is the bound: raising the hard one again takes a privilege that not every host has. The module
/// cannot raise either.
pub fn bound(limits: &Limits, inherited: u64) -> io::Result<()> {
    let (given, _) = getrlimit(Resource::RLIMIT_DATA)?;
    let own = inherited.saturating_add(limits.data()).saturating_add(ENGINE_SLACK);
    Ok(setrlimit(Resource::RLIMIT_DATA, own.min(given), given)?)
}

/// Whether the limits that the process was given leave room for a module of `length` bytes; `inherited` is [`in_use`] yet.
///
/// # Errors
/// Names the limit.
pub fn check_room(inherited: u64, length: u64) -> Result<(), String> {
    let limit = |resource| getrlimit(resource).map_or(libc::RLIM_INFINITY, |(soft, _)| soft);
    let data = limit(Resource::RLIMIT_DATA);
    if data < inherited.saturating_add(length).saturating_add(4 * ENGINE_SLACK) {
        return Err(format!(
            "RLIMIT_DATA, {data} bytes, is too small: the engine has {inherited} and the module takes {length}"
        ));
    }
    let addresses = limit(Resource::RLIMIT_AS);
    if addresses < RESERVED {
        return Err(format!(
            "RLIMIT_AS, {addresses} bytes, is too small: the engine reserves {RESERVED} bytes of addresses for a memory"
        ));
    }
    Ok(())
}

/// Makes the bound that of the linear memories, too: `memory.grow` fails before the engine is out of memory. They may
/// have `pages` pages in any case.
pub fn enforce(proc: RawFd, pages: Option<u64>) -> io::Result<()> {
    interpose::bound_linear_memory(in_use(proc)?, pages.map_or(u64::MAX, |pages| pages.saturating_mul(PAGE)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_leaves_no_room_is_named() {
        assert_eq!(check_room(1 << 20, 1 << 20), Ok(()));
        let most = u64::MAX - 1;
        let (soft, _) = getrlimit(Resource::RLIMIT_DATA).unwrap();
        if soft == libc::RLIM_INFINITY {
            assert_eq!(check_room(most, 0), Ok(()));
        } else {
            assert!(check_room(most, 0).unwrap_err().starts_with("RLIMIT_DATA"));
        }
    }
}
