//! Another program in a container that runs already (`exec`): what is left to do once its process is in the
//! container's cgroups and namespaces.
//!
//! libcontainer has this too, but its way loses the container's seccomp profile and needs a `/proc` in the container.
//! The order is that of libcontainer's init: what needs privileges comes before the user is changed; the filter of a
//! process that may gain privileges has to be loaded with them, the other one as late as possible.

use std::os::fd::OwnedFd;

use caps::CapSet;
use libcontainer::{capabilities::drop_privileges, syscall::syscall::create_syscall};
use nix::{
    errno::Errno,
    sys::stat::Mode,
    unistd::{Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, getcwd, setgroups, setresgid, setresuid, setsid},
};
use oci_spec::runtime::{LinuxSeccomp, Process};

use super::{
    apparmor::{self, When},
    console, profile,
    ready::{Ready, Sandbox},
};

/// `CLOSE_RANGE_CLOEXEC` (linux/close_range.h).
const CLOSE_ON_EXEC: libc::c_uint = 1 << 2;

/// A program and what it is given.
pub struct Tenant {
    /// Its description, with capabilities and limits spelled out.
    pub process: Process,
    /// The container's filter, where it takes privileges to load.
    pub seccomp: Option<LinuxSeccomp>,
    /// How it is run. For a module this process sees nothing of what is [`super::HIDDEN_FROM_MODULES`].
    pub sandbox: Sandbox,
    /// Its standard streams; `None` asks for a terminal.
    pub stdio: Option<[OwnedFd; 3]>,
}

/// Turns this process, which is in the container, into the program. `send_console` is given the terminal's master.
///
/// Returns only on failure, with the cause, in runc's words where runc has some.
pub fn become_program(tenant: Tenant, send_console: impl FnOnce(OwnedFd) -> Result<(), String>) -> String {
    match prepare(&tenant, send_console) {
        Ok(ready) => tenant.sandbox.run(ready, tenant.process.env().as_deref().unwrap_or_default()),
        Err(cause) => cause,
    }
}

fn prepare(tenant: &Tenant, send_console: impl FnOnce(OwnedFd) -> Result<(), String>) -> Result<Ready, String> {
    let process = &tenant.process;
    let step = |name: &'static str| move |errno: Errno| format!("{name}: {}", errno.desc());
    setsid().map_err(step("setsid"))?;
    match &tenant.stdio {
        Some([stdin, stdout, stderr]) => dup2_stdin(stdin)
            .and_then(|()| dup2_stdout(stdout))
            .and_then(|()| dup2_stderr(stderr))
            .map_err(step("standard streams"))?,
        None => {
            let master = console::attach()?;
            console::resize(&master, process.console_size()).map_err(step("console size"))?;
            console::give_to(&master, process.user().uid()).map_err(step("owner of the terminal"))?;
            send_console(master)?;
        }
    }
    let no_new_privileges = process.no_new_privileges() == Some(true);
    if no_new_privileges {
        // SAFETY: takes integers.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map_err(step("no_new_privs"))?;
    }
    if let Some(profile) = tenant.sandbox.apparmor_profile.as_ref().filter(|_| !tenant.sandbox.for_module) {
        apparmor::set_profile(profile, When::AtExec, tenant.sandbox.proc)
            .map_err(|error| format!("AppArmor profile \"{profile}\": {error}"))?;
    }
    if let Some(umask) = process.user().umask() {
        nix::sys::stat::umask(Mode::from_bits_truncate(umask));
    }
    // Only for root there may be directories that the user cannot enter, and the other way round.
    let entered = chdir(process.cwd());
    change_user(process)?;
    if let Some(profile) = &tenant.seccomp {
        profile::load(profile)?;
    }
    if let Some(capabilities) = process.capabilities() {
        drop_privileges(capabilities, &*create_syscall()).map_err(|error| format!("capabilities: {error}"))?;
    }
    enter_directory(process, entered)?;
    // SAFETY: changes flags of descriptors only.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_ON_EXEC) };
    tenant.sandbox.prepare(process)
}

/// Groups, then user; the capabilities stay until they are dropped to what the program may have.
fn change_user(process: &Process) -> Result<(), String> {
    let user = process.user();
    let failed = |errno: Errno| format!("changing to user {}:{}: {}", user.uid(), user.gid(), errno.desc());
    let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).map_err(failed)?;
    // SAFETY: takes integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }).map_err(failed)?;
    let (uid, gid) = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
    setresgid(gid, gid, gid).map_err(failed)?;
    setresuid(uid, uid, uid).map_err(failed)?;
    // SAFETY: takes integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 0, 0, 0, 0) }).map_err(failed)?;
    caps::read(None, CapSet::Permitted)
        .and_then(|permitted| caps::set(None, CapSet::Effective, &permitted))
        .map_err(|error| format!("capabilities: {error}"))
}

/// The working directory must be entered, and lie inside of the container: a path of `/proc/self/fd` could lead out
/// (CVE-2024-21626).
fn enter_directory(process: &Process, entered: nix::Result<()>) -> Result<(), String> {
    let cwd = process.cwd();
    entered.or_else(|_| chdir(cwd)).map_err(|errno| {
        let cause = if errno == Errno::ENOENT { "no such file or directory" } else { errno.desc() };
        format!("chdir to cwd ({cwd:?}) set in config.json failed: {cause}")
    })?;
    match getcwd() {
        Ok(path) if path.is_absolute() => Ok(()),
        _ => Err(format!("the working directory {} is outside of the container", cwd.display())),
    }
}
