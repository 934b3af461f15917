//! fork(2), but the child is the host's, like the worker itself, and is born in its cgroups.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::cgroup::{Birth, may_arrive_later};

/// `CLONE_INTO_CGROUP` (linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A new process, as each of the two sees it.
pub enum Sibling {
    /// In the maker: the child's process id and its pidfd.
    Made(i32, OwnedFd),
    /// In the child; whether it has joined the cgroup of [`Birth::unified`].
    Child(bool),
}

/// Makes the process. `namespaces` are the `CLONE_NEW…` flags of those that it is to be the first in.
///
/// # Errors
/// Those of clone3(2).
pub fn make(namespaces: libc::c_int, birth: &Birth) -> nix::Result<Sibling> {
    let flags = u64::from(namespaces.unsigned_abs());
    if let Some(directory) = birth.unified() {
        match clone3(flags | CLONE_INTO_CGROUP, directory.as_raw_fd().unsigned_abs().into(), true) {
            Err(errno) if may_arrive_later(errno) => {}
            made => return made,
        }
    }
    clone3(flags, 0, false)
}

fn clone3(flags: u64, cgroup: u64, born: bool) -> nix::Result<Sibling> {
    let mut pidfd: RawFd = -1;
    let always = libc::CLONE_PARENT | libc::CLONE_PIDFD;
    let mut args = libc::clone_args {
        flags: flags | u64::from(always.unsigned_abs()),
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        // That of the parent's own end, with CLONE_PARENT.
        exit_signal: 0,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup,
    };
    // SAFETY: as fork in a process with a single thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match Errno::result(pid)? {
        0 => Ok(Sibling::Child(born)),
        // SAFETY: the kernel has made this descriptor for us.
        pid => Ok(Sibling::Made(pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}
