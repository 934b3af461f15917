//! Making a process that goes on when its maker ends.

use std::{io, os::fd::RawFd};

use nix::{
    errno::Errno,
    sys::{prctl, signal::SigSet, signal::SigmaskHow, signal::sigprocmask},
    unistd::{ForkResult, dup2_stdin, dup2_stdout, fork, setsid},
};

/// Shown by ps(1) for compilations.
const NAME: &std::ffi::CStr = c"wasmedge-aot";

/// Runs `work` in a process of its own session, which has none of this one's descriptors but standard error and those `kept`.
pub fn detach(kept: &[RawFd], work: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the process has one thread.
    match unsafe { fork()? } {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            if let Err(error) = let_go(kept) {
                log::warn!("no native code is made: {error}");
            } else {
                work();
            }
            // SAFETY: ends the child without its maker's destructors.
            unsafe { libc::_exit(0) }
        }
    }
}

fn let_go(kept: &[RawFd]) -> io::Result<()> {
    setsid()?;
    prctl::set_name(NAME)?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    drop(null);
    let mut kept: Vec<libc::c_uint> = kept.iter().map(|fd| fd.unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([libc::c_uint::MAX]) {
        if first < fd {
            // SAFETY: closes descriptors that this process never uses again; it ends in `_exit`.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, fd - 1, 0) })?;
        }
        first = first.max(fd.saturating_add(1));
    }
    Ok(())
}
