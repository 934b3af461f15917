//! The first process of a pod's pid namespace, which containers of the pod see and may be allowed to trace: it holds nothing,
//! may do nothing, and waits.

use std::{io, os::fd::AsRawFd};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, chdir, pivot_root, setgroups, setresgid, setresuid},
};

/// The user of Kubernetes' pause image.
const NOBODY: u32 = 65535;

/// Capabilities have smaller numbers (capabilities(7)).
const CAPABILITIES: libc::c_ulong = 64;

/// `SECCOMP_MODE_STRICT` (seccomp(2)): read, write, exit and sigreturn, and death for all else.
const STRICT: libc::c_ulong = 1;

/// Waits for the end of the shim, which is the end of standard input. Children that are left to it are reaped by the kernel, as
/// it ignores their ends. `in_users` says whether the pod has users of its own.
///
/// What is done here comes before the pod's first container is made.
pub fn become_init(in_users: bool) -> ! {
    // SAFETY: ignores a signal.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    if lose_all(in_users).is_err() {
        exit(1);
    }
    let mut byte = 0_u8;
    loop {
        // SAFETY: reads into the byte. Nothing but what the filter allows may be called from here on.
        match unsafe { libc::syscall(libc::SYS_read, 0, &raw mut byte, 1) } {
            1 => {}
            _ => exit(0),
        }
    }
}

/// exit(2), not exit_group(2), which the filter does not know.
fn exit(code: i32) -> ! {
    loop {
        // SAFETY: ends this process, whose only thread this is.
        unsafe { libc::syscall(libc::SYS_exit, code) };
    }
}

/// The order: the mounts need capabilities, which go with the user; the filter forbids all of it.
fn lose_all(in_users: bool) -> io::Result<()> {
    // Of the pipe it has one end, and nothing else.
    close_from(io::stdin().as_raw_fd() + 1)?;
    set(libc::PR_SET_DUMPABLE, 0)?;
    empty_root()?;
    for capability in 0..CAPABILITIES {
        // Those that this kernel does not have are refused.
        let _ = set(libc::PR_CAPBSET_DROP, capability);
    }
    set(libc::PR_SET_NO_NEW_PRIVS, 1)?;
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    let become_nobody =
        || setgroups(&[]).and_then(|()| setresgid(gid, gid, gid)).and_then(|()| setresuid(uid, uid, uid));
    match become_nobody() {
        // The pod has fewer users than that: it stays root there, without a capability.
        Err(_) if in_users => lose_capabilities()?,
        done => done?,
    }
    set(libc::PR_SET_DUMPABLE, 0)?;
    set(libc::PR_SET_SECCOMP, STRICT)
}

/// An empty filesystem, which cannot be written to, in place of the node's.
fn empty_root() -> nix::Result<()> {
    // A directory that is there and may be entered by everybody.
    const PLACE: &str = "/proc";
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("none"), PLACE, Some("tmpfs"), flags, Some("mode=0555,size=4096"))?;
    chdir(PLACE)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}

fn lose_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    // `_LINUX_CAPABILITY_VERSION_3` (capget(2)), whose sets are in two parts.
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [[0_u32; 3]; 2];
    // SAFETY: reads two structures.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn close_from(first: i32) -> io::Result<()> {
    // SAFETY: closes descriptors that this process uses no more.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: these options take integers.
    match unsafe { libc::prctl(option, value, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
