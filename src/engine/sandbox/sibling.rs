//! fork(2), but the child is the host's, like the worker itself, and is born in its cgroups.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use anyhow::{Context, Result, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use wasmedge_shim_protocol::Pidfd;

use super::{
    cgroup::{Birth, may_arrive_later},
    handover,
};
use crate::{clone::clone3, guest::exit_now};

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
    if let Some(directory) = birth.unified() {
        match clone(namespaces, Some(directory)) {
            Err(errno) if may_arrive_later(errno) => {}
            made => return made,
        }
    }
    clone(namespaces, None)
}

/// Has a helper process do `job`, which makes a process, and waits for both: the id of what was made, and its pidfd.
///
/// A worker holds the node's descriptors, and a process has all of its maker's at first. Where other processes may be in the
/// new one's pid namespace already, and be allowed to trace it, its maker must not have any. So the helper does not: `job`
/// begins with closing them, before it enters a namespace. The helper itself is in the node's pid namespace, where
/// the container's processes cannot reach it. In the container's cgroups it is, and makes the process there, and it has
/// ended when this returns.
///
/// # Errors
/// The job's.
pub fn by_helper(birth: &Birth, job: impl FnOnce(RawFd) -> Result<(i32, OwnedFd)>) -> Result<(i32, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let helper = match make(0, birth).context("cannot make a process")? {
        Sibling::Child(born) => {
            drop(ours);
            let made = birth.arrive(born).map_err(Into::into).and_then(|()| job(theirs.as_raw_fd()));
            // A worker that is gone has nobody left to tell.
            let _ = match made {
                Ok((pid, pidfd)) => handover::send(&theirs, pid.to_string().as_bytes(), Some(&pidfd)),
                Err(error) => handover::send(&theirs, format!("{error:#}").as_bytes(), None),
            };
            exit_now(0);
        }
        Sibling::Made(_, helper) => Pidfd::from(helper),
    };
    drop(theirs);
    let answer = handover::receive(&ours).context("cannot hear from the helper process")?;
    while !helper.wait(std::time::Duration::from_secs(60))? {}
    match answer {
        Some((pid, Some(pidfd))) => Ok((pid.parse().context("the helper process names no process")?, pidfd)),
        Some((cause, None)) => bail!("{cause}"),
        None => bail!("the helper process has ended"),
    }
}

/// Makes a process of this one, in the same cgroups, which runs `child` and ends.
pub fn plain(child: impl FnOnce()) -> Result<(i32, OwnedFd)> {
    match clone(0, None).context("cannot make a process in the container")? {
        Sibling::Made(pid, pidfd) => Ok((pid, pidfd)),
        Sibling::Child(_) => {
            child();
            exit_now(crate::guest::EXEC_FAILED);
        }
    }
}

fn clone(namespaces: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> nix::Result<Sibling> {
    // SAFETY: a worker and its helpers have one thread.
    let made = unsafe { clone3(namespaces | libc::CLONE_PARENT, 0, cgroup)? };
    Ok(made.map_or(Sibling::Child(cgroup.is_some()), |(pid, pidfd)| Sibling::Made(pid.as_raw(), pidfd)))
}
