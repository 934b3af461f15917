//! fork(2) with the child's descriptor, and with the child in namespaces or in a cgroup from its first instruction (clone3(2)).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::{errno::Errno, unistd::Pid};

/// `CLONE_INTO_CGROUP` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a process by `flags`, `CLONE_…` without `CLONE_PIDFD`, which is always among them. Its end sends `exit_signal`; 0 is
/// for `CLONE_PARENT`, by which it is that of the parent's own. It is born in `cgroup`, a directory of cgroup v2, if one is given.
///
/// Gives the child's process id and its descriptor, close-on-exec; `None` in the child.
///
/// # Safety
/// As for fork(2), and without what libc does around it: this process has one thread.
///
/// # Errors
/// Those of clone3(2).
pub unsafe fn clone3(
    flags: libc::c_int,
    exit_signal: libc::c_int,
    cgroup: Option<BorrowedFd<'_>>,
) -> nix::Result<Option<(Pid, OwnedFd)>> {
    let mut pidfd: RawFd = -1;
    let into_cgroup = if cgroup.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let mut args = libc::clone_args {
        flags: u64::from((flags | libc::CLONE_PIDFD).unsigned_abs()) | into_cgroup,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(exit_signal.unsigned_abs()),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |cgroup| cgroup.as_raw_fd().unsigned_abs().into()),
    };
    // SAFETY: the caller's.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(None),
        // SAFETY: the kernel has made this descriptor for us.
        pid => Ok(Some((Pid::from_raw(pid as i32), unsafe { OwnedFd::from_raw_fd(pidfd) }))),
    }
}
