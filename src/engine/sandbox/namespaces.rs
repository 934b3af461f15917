//! Entering the namespaces of a running container.

use std::{fs, io};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    unistd::chroot,
};
use wasmedge_shim_protocol::Pidfd;

/// Names in `/proc/PID/ns`, and flags of setns(2).
const KINDS: [(&str, libc::c_int); 8] = [
    ("user", libc::CLONE_NEWUSER),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("uts", libc::CLONE_NEWUTS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("time", 0x80),
    ("mnt", libc::CLONE_NEWNS),
];

/// Enters every namespace of process `pid` that this process is not in, all at once; the pid and the time namespace are
/// entered by the next child. This process becomes root there, and its root directory that of `pid`.
pub fn join(pid: i32) -> Result<()> {
    let pidfd = Pidfd::open(pid).context("it has ended")?;
    let mut flags = 0;
    for (name, flag) in KINDS {
        if differs(pid, name)? {
            flags |= flag;
        }
    }
    // Another process in these namespaces must not reach the host through this one before it is the program.
    // SAFETY: takes integers.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    let root = format!("/proc/{pid}/root");
    let own_mounts = flags & libc::CLONE_NEWNS != 0;
    if !own_mounts {
        chroot(&*root).with_context(|| format!("cannot change the root to {root}"))?;
    }
    if flags != 0 {
        // SAFETY: takes integers.
        Errno::result(unsafe { libc::setns(std::os::fd::AsRawFd::as_raw_fd(&pidfd), flags) }).context("setns")?;
    }
    if flags & libc::CLONE_NEWUSER != 0 {
        let root = (nix::unistd::Uid::from_raw(0), nix::unistd::Gid::from_raw(0));
        nix::unistd::setresgid(root.1, root.1, root.1)?;
        nix::unistd::setresuid(root.0, root.0, root.0)?;
    }
    std::env::set_current_dir("/").context("cannot enter the container's root")?;
    Ok(())
}

/// Enters the mount namespace of the process behind `pidfd`.
pub fn enter_mounts(pidfd: &Pidfd) -> Result<()> {
    setns(pidfd, CloneFlags::CLONE_NEWNS).context("cannot enter the container's mount namespace")
}

/// Enters the mount namespace `node` again, which may be where this process is.
pub fn go_back(node: &fs::File) -> Result<()> {
    setns(node, CloneFlags::CLONE_NEWNS).context("cannot go back to the node's mount namespace")?;
    std::env::set_current_dir("/").context("cannot enter /")
}

fn differs(pid: i32, kind: &str) -> io::Result<bool> {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
    // A kernel without this kind of namespace has one for all.
    match (of("self"), of(&pid.to_string())) {
        (Ok(ours), Ok(theirs)) => Ok(ours != theirs),
        (Err(error), _) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        (ours, theirs) => ours.and(theirs).map(|_| false),
    }
}
