//! Entering a running container.

use std::{
    fs, io,
    os::fd::{AsRawFd, RawFd},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    unistd::{Gid, Uid, chroot, fchdir, setresgid, setresuid},
};
use wasmedge_shim_protocol::Pidfd;

use super::process::Init;
use crate::files::Root;

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

/// A container that runs, by descriptors: they never mean another one, however long they are held.
pub struct Container {
    pid: i32,
    pidfd: Pidfd,
    root: Root,
    /// Its namespaces that this process is not in, as flags of setns(2).
    namespaces: libc::c_int,
}

impl Container {
    /// That of `init`; `None` where it has ended.
    ///
    /// Everything is looked up by the process's id, and then the process is asked whether it has lived until now: so the id was
    /// its own all the while.
    pub fn open(init: Init) -> io::Result<Option<Self>> {
        let Some(pidfd) = init.open() else { return Ok(None) };
        let opened = Root::new(format!("/proc/{}/root", init.pid).as_ref())
            .and_then(|root| Ok((root, other_namespaces(init.pid)?)));
        match opened {
            _ if pidfd.has_ended() => Ok(None),
            Ok((root, namespaces)) => Ok(Some(Self { pid: init.pid, pidfd, root, namespaces })),
            Err(error) => Err(error),
        }
    }

    /// Its root directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Its init's process id, which is another's once the container has ended.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether its init has ended.
    pub fn has_ended(&self) -> bool {
        self.pidfd.has_ended()
    }

    /// The descriptors that [`Self::enter`] needs.
    pub fn descriptors(&self) -> [RawFd; 2] {
        [std::os::fd::AsFd::as_fd(&self.pidfd).as_raw_fd(), self.root.directory().as_raw_fd()]
    }

    /// Closes them, in a process that has entered.
    pub fn close(&self) {
        for fd in self.descriptors() {
            // SAFETY: this process is a copy that drops nothing.
            unsafe { libc::close(fd) };
        }
    }

    /// Enters every namespace that this process is not in, all at once; the pid and the time namespace are entered by the
    /// next child. This process becomes root there, and its root directory the container's.
    ///
    /// # Errors
    /// `ESRCH` where the container has ended.
    pub fn enter(&self) -> Result<()> {
        // Another process in these namespaces must not reach the node through this one before it is the program.
        // SAFETY: takes integers.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
        if self.namespaces & libc::CLONE_NEWNS == 0 {
            fchdir(self.root.directory()).and_then(|()| chroot(".")).context("cannot change the root")?;
        }
        if self.namespaces != 0 {
            // SAFETY: takes integers.
            let entered = unsafe { libc::setns(self.descriptors()[0], self.namespaces) };
            Errno::result(entered).context("setns")?;
        }
        if self.namespaces & libc::CLONE_NEWUSER != 0 {
            let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
            setresgid(group, group, group)?;
            setresuid(user, user, user)?;
        }
        std::env::set_current_dir("/").context("cannot enter the container's root")
    }
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

/// The namespaces of process `pid` that this process is not in.
fn other_namespaces(pid: i32) -> io::Result<libc::c_int> {
    let mut flags = 0;
    for (name, flag) in KINDS {
        if differs(pid, name)? {
            flags |= flag;
        }
    }
    Ok(flags)
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
