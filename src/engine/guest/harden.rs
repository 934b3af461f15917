//! What execve would do for a new program, done by hand for a module, which no execve ever runs.
//!
//! The order matters: the descriptors go first, as one of them may be a door to the host; the profile is changed while
//! it still may; the capabilities go before `no_new_privs`, which is for good; the filter comes last, since it forbids
//! the system calls of all the others.

use std::{io, os::fd::RawFd, path::Path};

use caps::{CapSet, Capability, CapsHashSet};
use nix::{
    fcntl::OFlag,
    sys::{
        resource::{Resource, setrlimit},
        stat::Mode,
    },
};

use super::{seccomp, signals};

/// Private memory of a guest without a limit, in bytes: all that a 32-bit linear memory can hold, and a quarter of that.
const UNLIMITED_GUEST: u64 = 5 << 30;

/// Capabilities that a WASI guest can make use of: it has files and sockets and nothing else. File access as root to
/// a volume that belongs to another user works with these as it does under runc.
const USEFUL: [Capability; 3] =
    [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];

/// Makes this process fit to run a module. `proc` is a descriptor of a proc filesystem, closed in the end; `memory` is
/// the container's limit, in bytes.
///
/// # Errors
/// Names the step. The caller must not run the module then.
pub fn harden(apparmor_profile: Option<&str>, proc: RawFd, memory: Option<u64>) -> Result<(), String> {
    if let Some(profile) = apparmor_profile {
        change_profile(profile, proc).map_err(|error| format!("AppArmor profile \"{profile}\": {error}"))?;
    }
    limit_memory(memory, proc).map_err(|error| format!("memory limit: {error}"))?;
    close_descriptors_from(3).map_err(|error| format!("closing inherited descriptors: {error}"))?;
    // SAFETY: the process has a single thread.
    unsafe { libc::clearenv() };
    signals::end_on_request().map_err(|error| format!("signal handlers: {error}"))?;
    reduce_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    set_flag(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|error| format!("no_new_privs: {error}"))?;
    set_flag(libc::PR_SET_DUMPABLE, 0).map_err(|error| format!("dumpable: {error}"))?;
    seccomp::install()
}

/// Shows `path`'s file name as the process's name, in the 15 bytes that the kernel has for it.
pub fn set_name(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Ok(name) = std::ffi::CString::new(&*name) {
        // SAFETY: a NUL-terminated string.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

/// Switches the profile now: the usual `exec NAME` takes effect at the next execve. There is no `/proc` in a module's
/// container, hence the descriptor.
fn change_profile(profile: &str, proc: RawFd) -> io::Result<()> {
    // SAFETY: kept open by the worker that made this process.
    let proc = unsafe { std::os::fd::BorrowedFd::borrow_raw(proc) };
    let open = |path: &str| nix::fcntl::openat(proc, path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
    let attribute = open("self/attr/apparmor/current").or_else(|_| open("self/attr/current"))?;
    nix::unistd::write(&attribute, format!("changeprofile {profile}").as_bytes())?;
    Ok(())
}

fn close_descriptors_from(first: libc::c_uint) -> io::Result<()> {
    // SAFETY: closes descriptors that nothing in this process uses any more; it ends in `_exit`, without destructors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bounds the engine's own memory: the interpreter has no limit on the depth of calls, and an endless recursion would
/// otherwise take all the memory that the container, or the node, has. It ends in an abort instead.
///
/// What this process inherited from the host counts for the kernel's limit, but costs the container nothing.
fn limit_memory(limit: Option<u64>, proc: RawFd) -> io::Result<()> {
    let bytes = limit.map_or(UNLIMITED_GUEST, |limit| limit - limit / 32 - (2 << 20).min(limit / 2));
    let total = inherited_memory(proc)? + bytes;
    Ok(setrlimit(Resource::RLIMIT_DATA, total, total)?)
}

/// Private writable memory that this process has mapped so far (`VmData`, proc_pid_status(5)), in bytes.
fn inherited_memory(proc: RawFd) -> io::Result<u64> {
    // SAFETY: kept open by the worker that made this process.
    let proc = unsafe { std::os::fd::BorrowedFd::borrow_raw(proc) };
    let status = nix::fcntl::openat(proc, "self/status", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let status = io::read_to_string(std::fs::File::from(status))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmData in /proc/self/status"))
}

/// After execve a root process has what its bounding set allows, another user's process has its ambient set
/// (capabilities(7)); of that, what is [`USEFUL`] stays.
fn reduce_capabilities() -> Result<(), caps::errors::CapsError> {
    let source = if nix::unistd::geteuid().is_root() { CapSet::Permitted } else { CapSet::Ambient };
    let kept: CapsHashSet = caps::read(None, source)?.into_iter().filter(|cap| USEFUL.contains(cap)).collect();
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

fn set_flag(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these options take integers.
    match unsafe { libc::prctl(option, value, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
