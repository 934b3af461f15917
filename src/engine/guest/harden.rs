//! What execve would do for a new program, done by hand for a module, which no execve ever runs.
//!
//! The order matters: the descriptors go first, as one of them may be a door to the host; the profile is changed while
//! it still may; the capabilities go before `no_new_privs`, which is for good; the filters come last, since they
//! forbid the system calls of all the others: that of the container, then ours, which the other one lets be loaded.

use std::{io, os::fd::RawFd};

use caps::{CapSet, Capability, CapsHashSet};
use nix::{fcntl::OFlag, sys::stat::Mode};
use oci_spec::runtime::LinuxSeccomp;

use super::{memory, profile, seccomp, signals};

/// Capabilities that a WASI guest can make use of: it has files and sockets and nothing else. File access as root to
/// a volume that belongs to another user works with these as it does under runc.
const USEFUL: [Capability; 3] =
    [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];

/// What hardening depends on.
pub struct Hardening<'a> {
    /// AppArmor profile to change to.
    pub apparmor_profile: Option<&'a str>,
    /// Most pages of linear memory.
    pub pages: Option<u64>,
    /// Whether there are plugins, which may start threads.
    pub plugins: bool,
    /// A descriptor of a proc filesystem, closed in the end.
    pub proc: RawFd,
    /// The container's seccomp profile, amended for a module.
    pub profile: Option<&'a LinuxSeccomp>,
}

/// Makes this process fit to run a module.
///
/// # Errors
/// Names the step. The caller must not run the module then.
pub fn harden(hardening: &Hardening<'_>) -> Result<(), String> {
    let Hardening { apparmor_profile, pages, plugins, proc, profile } = *hardening;
    if let Some(profile) = apparmor_profile {
        change_profile(profile, proc).map_err(|error| format!("AppArmor profile \"{profile}\": {error}"))?;
    }
    memory::enforce(proc, pages).map_err(|error| format!("memory limit: {error}"))?;
    close_descriptors_from(3).map_err(|error| format!("closing inherited descriptors: {error}"))?;
    // SAFETY: the process has a single thread.
    unsafe { libc::clearenv() };
    signals::end_on_request().map_err(|error| format!("signal handlers: {error}"))?;
    reduce_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    set_flag(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|error| format!("no_new_privs: {error}"))?;
    set_flag(libc::PR_SET_DUMPABLE, 0).map_err(|error| format!("dumpable: {error}"))?;
    profile.map_or(Ok(()), profile::load)?;
    if plugins { seccomp::install_with_threads() } else { seccomp::install() }
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
