//! Making a process that goes on when its maker ends.

use std::io;

use nix::{
    sys::{prctl, signal::SigSet, signal::SigmaskHow, signal::sigprocmask},
    unistd::{ForkResult, dup2_stdin, dup2_stdout, fork, setsid},
};

/// Shown by ps(1) for compilations.
const NAME: &std::ffi::CStr = c"wasmedge-aot";

/// Runs `work` in a process of its own session, which has none of this one's descriptors but standard error.
pub fn detach(work: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the process has one thread.
    match unsafe { fork()? } {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            if let Err(error) = let_go() {
                log::warn!("no native code is made: {error}");
            } else {
                work();
            }
            // SAFETY: ends the child without its maker's destructors.
            unsafe { libc::_exit(0) }
        }
    }
}

fn let_go() -> io::Result<()> {
    setsid()?;
    prctl::set_name(NAME)?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    drop(null);
    // SAFETY: closes descriptors that this process never uses again; it ends in `_exit`.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
