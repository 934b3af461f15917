//! fork(2), with the child's descriptor, and with the child in a cgroup of cgroup v2 from its first instruction.

use std::{io, os::fd::BorrowedFd};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{ForkResult, Pid, fork},
};
use wasmedge_shim_protocol::Pidfd;

use crate::clone::clone3;

/// A new process, as each of the two sees it.
pub enum Forked {
    /// In its parent.
    Parent {
        /// Its process id.
        child: Pid,
        /// Its descriptor.
        pidfd: Pidfd,
    },
    /// In itself.
    Child,
}

/// Forks, into `cgroup` where there is one that can be entered so.
///
/// # Safety
/// As for fork(2): this process has one thread.
///
/// # Errors
/// Those of fork(2), clone3(2) and pidfd_open(2).
pub unsafe fn fork_into(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    if let Some(cgroup) = cgroup {
        // SAFETY: the caller's.
        match unsafe { clone3(0, libc::SIGCHLD, Some(cgroup)) } {
            // An older kernel, or the cgroup is gone.
            Err(Errno::ENOSYS | Errno::EINVAL | Errno::E2BIG | Errno::ENODEV | Errno::EBUSY | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
            Ok(None) => return Ok(Forked::Child),
            Ok(Some((child, pidfd))) => return Ok(Forked::Parent { child, pidfd: pidfd.into() }),
        }
    }
    // SAFETY: the caller's.
    match unsafe { fork()? } {
        // It cannot be reaped by anybody else meanwhile.
        ForkResult::Parent { child } => match Pidfd::open(child.as_raw()) {
            Ok(pidfd) => Ok(Forked::Parent { child, pidfd }),
            Err(error) => {
                // Without a descriptor it would be nobody's.
                let _ = kill(child, Signal::SIGKILL);
                Err(error)
            }
        },
        ForkResult::Child => Ok(Forked::Child),
    }
}
