//! The bound on a module's memory: the guest's linear memories and what the engine needs for them.
//!
//! The kernel keeps it (`RLIMIT_DATA`: private writable memory), so that it can be changed while the module runs: the
//! host follows an update of the container's limit with prlimit(2). What the process inherited from the host counts
//! for the kernel's limit but costs the container nothing, so it comes on top.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::interpose::{self, ENGINE_SLACK};
use crate::wasm::{Limits, PAGE};

/// Addresses that WasmEdge 0.17.1 reserves for each linear memory, used or not (`lib/system/allocator.cpp`), in bytes.
const RESERVED: u64 = 12 << 30;

/// More than any process has, in bytes: the address space of a processor.
const ADDRESS_SPACE: u64 = 1 << 47;

/// Private writable memory that this process has mapped (`VmData`, proc_pid_status(5)), in bytes.
///
/// There is no `/proc` here. So the kernel is asked by the limit itself: under the lowest limit that lets one more page be
/// mapped, that page is all that is left.
///
/// # Errors
/// `OutOfMemory` where not one page can be had.
pub fn in_use() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    // SAFETY: asks for a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs();
    // In pages. Not from 0, which the kernel takes for no limit at all.
    let (mut low, mut high) = (1, hard.min(ADDRESS_SPACE) / page);
    let fits = |pages: u64| -> io::Result<bool> {
        setrlimit(Resource::RLIMIT_DATA, pages * page, hard)?;
        Ok(can_map(page as usize))
    };
    let mut search = || -> io::Result<u64> {
        if !fits(high)? {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if fits(middle)? { high = middle } else { low = middle + 1 }
        }
        Ok((low - 1) * page)
    };
    let found = search();
    setrlimit(Resource::RLIMIT_DATA, soft, hard)?;
    found
}

fn can_map(length: usize) -> bool {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, which nobody else sees.
    unsafe {
        let mapped = libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0);
        mapped != libc::MAP_FAILED && libc::munmap(mapped, length) == 0
    }
}

/// Sets the bound for a module that has been loaded; `inherited` is what was [`in_use`] before. A limit that the process
/// has already, from its container or from whoever started the engine, stays: the smaller one counts.
///
/// Only the soft limit is the bound: raising the hard one again takes a privilege that not every host has. The module
/// cannot raise either.
pub fn bound(limits: &Limits, inherited: u64) -> io::Result<()> {
    let (given, _) = getrlimit(Resource::RLIMIT_DATA)?;
    let base = inherited.saturating_add(ENGINE_SLACK);
    interpose::set_base(base);
    let own = base.saturating_add(limits.data());
    Ok(setrlimit(Resource::RLIMIT_DATA, own.min(given), given)?)
}

/// What a failure to look at the process's memory means: with too small a limit there is no room to look at all.
pub fn explain(error: io::Error) -> String {
    match getrlimit(Resource::RLIMIT_DATA) {
        Ok((data, _)) if data != libc::RLIM_INFINITY && error.kind() == io::ErrorKind::OutOfMemory => {
            format!("RLIMIT_DATA, {data} bytes, is too small for the engine")
        }
        _ => format!("memory limit: {error}"),
    }
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
pub fn enforce(pages: Option<u64>) -> io::Result<()> {
    interpose::bound_linear_memory(in_use()?, pages.map_or(u64::MAX, |pages| pages.saturating_mul(PAGE)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_what_the_kernel_counts() {
        let counted = || -> u64 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap();
            line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
        };
        let limits = getrlimit(Resource::RLIMIT_DATA).unwrap();
        // Threads of other tests come and go.
        let equal = (0..100).any(|_| {
            (counted(), in_use().unwrap(), counted()).eq(&{
                let now = counted();
                (now, now, now)
            })
        });
        assert!(equal);
        assert_eq!(getrlimit(Resource::RLIMIT_DATA).unwrap(), limits);
    }

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
