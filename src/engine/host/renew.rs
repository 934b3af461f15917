//! What a zygote's children share, made less: an address layout that does not last for ever, and a canary of their own.
//!
//! A container's process is a fork of the host, so it has the host's address layout, stack canary and freed memory. Only
//! execve makes a new layout, so the host does that to itself when it has been up for some hours and has nothing to do;
//! what it listens on stays open, so no shim notices. docs/security.md has what is left.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStringExt,
    },
    sync::OnceLock,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    unistd::execve,
};

use super::{confine::Confinement, state::Host};

/// After which time an idle host begins anew.
const AGE: Duration = Duration::from_secs(6 * 3600);

/// A file in the runtime directory that makes an idle host begin anew at once, for the node's people.
const ASKED: &str = "renew";

/// Environment variable with the number of the descriptor that a renewed host listens on.
const LISTENER: &str = "WASMEDGE_ENGINE_LISTENER";

impl Host {
    /// Begins anew, if nobody needs this host now and it is old or was asked to.
    pub(super) fn renew_if_due(&self) {
        static BORN: OnceLock<Instant> = OnceLock::new();
        let age = BORN.get_or_init(Instant::now).elapsed();
        // Removing the file takes the wish back, so that it is fulfilled once.
        if self.is_idle() && (age > AGE || std::fs::remove_file(self.location.root().join(ASKED)).is_ok()) {
            log::info!("engine host {} begins anew", std::process::id());
            if let Err(error) = begin_anew(self.listener.socket(), &self.confinement) {
                log::warn!("engine host {} goes on as it is: {error}", std::process::id());
            }
        }
    }
}

/// Executes the engine again, with the same arguments; returns after a failure only.
fn begin_anew(listener: &OwnedFd, confinement: &Confinement) -> io::Result<()> {
    let lines = |line: Vec<u8>| CString::new(line).ok();
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| lines(arg.into_vec())).collect();
    let variable = |name: Vec<u8>, value: Vec<u8>| lines([name, b"=".to_vec(), value].concat());
    let mut env: Vec<CString> =
        std::env::vars_os().filter_map(|(name, value)| variable(name.into_vec(), value.into_vec())).collect();
    env.extend(lines(format!("{LISTENER}={}", listener.as_raw_fd()).into_bytes()));
    // It is raised again, and what it was is for containers.
    confinement.give_descriptors_back()?;
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    // The sealed copy that this process runs from.
    let Err(errno) = execve(c"/proc/self/exe", &args, &env);
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Err(errno.into())
}

/// The socket that a host before this one, in the same process, has listened on.
pub fn inherited_listener() -> Option<OwnedFd> {
    let number = std::env::var(LISTENER).ok()?.parse::<RawFd>().ok()?;
    // SAFETY: the process has one thread.
    unsafe { std::env::remove_var(LISTENER) };
    // SAFETY: left open for this by `begin_anew`, and nobody else's; checked to be there.
    let listener = unsafe {
        Errno::result(libc::fcntl(number, libc::F_GETFD)).ok()?;
        OwnedFd::from_raw_fd(number)
    };
    let flags = OFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFL).ok()?);
    fcntl(&listener, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).ok()?;
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(listener)
}

/// Gives this process, a fork of the host that never returns to what the host was doing, a stack canary and kernel-made
/// random bytes of its own. Where it cannot, it has the host's.
#[inline(never)]
pub fn change_canary() {
    let mut random = [0_u8; 24];
    // SAFETY: writes as many bytes as there are.
    let count = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), libc::GRND_NONBLOCK) };
    if count != random.len() as isize {
        return;
    }
    // glibc keeps the first byte zero, so that a string that runs over ends there.
    random[0] = 0;
    let mut canary = [0; 8];
    canary.copy_from_slice(&random[..8]);
    // SAFETY: 16 bytes on the initial stack, which are writable and which nobody reads after the start (getauxval(3)).
    unsafe {
        let at = libc::getauxval(libc::AT_RANDOM) as *mut u8;
        if !at.is_null() {
            std::ptr::copy_nonoverlapping(random[8..].as_ptr(), at, 16);
        }
    }
    set_canary(u64::from_ne_bytes(canary));
}

/// Where the ABI has it (glibc's `tcbhead_t`, `stack_guard`). Frames that were begun before must not return in this process:
/// those of Rust do not look, those of C in between are none.
#[cfg(target_arch = "x86_64")]
fn set_canary(canary: u64) {
    // SAFETY: this thread's own, see above.
    unsafe { std::arch::asm!("mov fs:[0x28], {}", in(reg) canary, options(nostack, preserves_flags)) };
}

/// Elsewhere it is a variable of the dynamic linker that can be read only.
#[cfg(not(target_arch = "x86_64"))]
fn set_canary(_: u64) {}
