//! fork(2), with the child's descriptor, and with the child in a cgroup of cgroup v2 from its first instruction.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::{ForkResult, Pid, fork},
};
use wasmedge_shim_protocol::Pidfd;

/// `CLONE_INTO_CGROUP` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

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
        match unsafe { clone_into(cgroup) } {
            // An older kernel, or the cgroup is gone.
            Err(Errno::ENOSYS | Errno::EINVAL | Errno::E2BIG | Errno::ENODEV | Errno::EBUSY | Errno::EOPNOTSUPP) => {}
            made => return made.map_err(io::Error::from),
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

unsafe fn clone_into(cgroup: BorrowedFd<'_>) -> nix::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let mut args = libc::clone_args {
        flags: u64::from(libc::CLONE_PIDFD.unsigned_abs()) | CLONE_INTO_CGROUP,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.as_raw_fd().unsigned_abs().into(),
    };
    // SAFETY: the caller's; as fork in a process with a single thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel has made this descriptor for us.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { child: Pid::from_raw(pid as i32), pidfd: pidfd.into() })
        }
    }
}
