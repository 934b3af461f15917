//! What execve would do for a new program, done by hand for a module, which no execve ever runs.
//!
//! In two steps, as a module is read in one process long before it is run there.
//!
//! [`before_module`], when the sandbox is complete and nothing of the guest has been opened yet. The profile is changed while
//! it still may; the capabilities go before `no_new_privs`, which is for good; the filter comes last, since it forbids the
//! system calls of all the others. What is read, parsed and linked afterwards can do no more than the guest itself, but
//! map code and load one more filter.
//!
//! [`before_run`], when the module is started: descriptors, since one of them was the start's; signal handlers, which would
//! make a container that is not started end; and the filters, which forbid the system calls of all the others: that of the
//! container, then ours, with which no more code can be mapped, and which the other one lets be loaded.

use std::{io, os::fd::OwnedFd};

use caps::{CapSet, Capability, CapsHashSet};
use oci_spec::runtime::LinuxSeccomp;
use wasmedge_shim_protocol::Signals;

use super::{
    apparmor::{self, When},
    descriptors, profile, readable_signals, seccomp, signals,
};

/// Capabilities that a WASI guest can make use of: it has files and sockets and nothing else. File access as root to
/// a volume that belongs to another user works with these as it does under runc.
const USEFUL: [Capability; 3] =
    [Capability::CAP_NET_BIND_SERVICE, Capability::CAP_DAC_OVERRIDE, Capability::CAP_FOWNER];

/// What hardening depends on.
#[derive(Debug, Clone, Copy)]
pub struct Hardening<'a> {
    /// AppArmor profile to change to.
    pub apparmor_profile: Option<&'a str>,
    /// A descriptor of a proc filesystem, where the kernel needs that for the profile.
    pub proc: Option<std::os::fd::RawFd>,
    /// Whether there are plugins, which may start threads.
    pub plugins: bool,
    /// Whether programs of the node's are run in this process's place before the module: they have the capabilities of the
    /// spec, and are executed, so most of the first step waits for them.
    pub hooks: bool,
    /// The signals that the module reads.
    pub signals: Signals,
    /// The container's seccomp profile, amended for a module.
    pub profile: Option<&'a LinuxSeccomp>,
}

/// Makes this process fit to read a module.
///
/// # Errors
/// Names the step. The caller must not open anything of the guest then.
pub fn before_module(hardening: &Hardening<'_>) -> Result<(), String> {
    if let Some(profile) = hardening.apparmor_profile {
        apparmor::set_profile(profile, When::Now, hardening.proc)
            .map_err(|error| format!("AppArmor profile \"{profile}\": {error}"))?;
    }
    set_flag(libc::PR_SET_DUMPABLE, 0).map_err(|error| format!("dumpable: {error}"))?;
    if hardening.hooks {
        return Ok(());
    }
    lose_privileges()?;
    seccomp::install_for_loading(hardening.plugins)
}

/// Makes this process fit to run the module that it has read; the file in which its signals are, if it reads some.
///
/// # Errors
/// Names the step. The caller must not run the module then.
pub fn before_run(hardening: &Hardening<'_>) -> Result<Option<OwnedFd>, String> {
    descriptors::close_all_but(&[]).map_err(|error| format!("closing inherited descriptors: {error}"))?;
    // SAFETY: the process has a single thread.
    unsafe { libc::clearenv() };
    signals::end_on_request(hardening.signals).map_err(|error| format!("signal handlers: {error}"))?;
    let signals = readable_signals::open(hardening.signals).map_err(|error| format!("signals to read: {error}"))?;
    if hardening.hooks {
        lose_privileges()?;
    }
    hardening.profile.map_or(Ok(()), profile::load)?;
    if hardening.plugins { seccomp::install_with_threads() } else { seccomp::install() }?;
    Ok(signals)
}

fn lose_privileges() -> Result<(), String> {
    reduce_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    set_flag(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(|error| format!("no_new_privs: {error}"))
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
