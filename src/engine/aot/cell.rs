//! The cell of a compiler: a process that can compute, write one file, and nothing else.
//!
//! What it parses anybody may have written, with all of LLVM behind it, so the process is made as if it were hostile from its
//! first byte of the module on. In this order: descriptors first, since one may be a door; then the bounds; a user of its
//! own, of which no other process is; a root of its own, as long as there are capabilities to make it; then no
//! capabilities, no new privileges, and last the filter, which forbids the calls of all the steps before.

use std::{
    fs,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use caps::CapSet;
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Pid, Uid, chdir, chroot, pivot_root},
};

use super::{filter, notes, priority};
use crate::clone::clone3;

/// The first of the users that compilers are, one each: a range that nothing else takes (systemd, UIDS-GIDS.md).
const FIRST_USER: u32 = 1_990_000_000;

/// The user that owns nothing: what a compiler is in its own user namespace, and where nothing else can be had outside.
const NOBODY: u32 = 65_534;

/// Bounds of a compilation. ripgrep, 20 MB of WebAssembly, takes 38 s of CPU time at O2.
pub const CPU_SECONDS: u64 = 600;
const OUTPUT: u64 = 1 << 30;

/// Threads beyond the processors' number: the linker makes as many as there are processors.
const THREADS: u64 = 8;

/// Where the compiler's own filesystem is mounted, in its own mount namespace.
const WORKSPACE: &str = "/tmp";

/// Where the result goes.
pub const RESULT: RawFd = 3;

/// A compiler at work.
pub struct Inmate {
    /// Its process id.
    pub pid: Pid,
    /// Its descriptor.
    pub pidfd: OwnedFd,
}

/// What the cell is made of on this node.
#[derive(Clone, Copy)]
struct Walls {
    /// Whether this process may make one at all.
    root: bool,
    /// Whether it has a user namespace of its own.
    users: bool,
    /// The user and group outside of it.
    user: u32,
}

impl Walls {
    fn namespaces(self) -> libc::c_int {
        let always = libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP;
        match self {
            Self { root: false, .. } => 0,
            Self { users: true, .. } => always | libc::CLONE_NEWUSER,
            Self { .. } => always,
        }
    }

    /// What it calls its own user.
    fn inner(self) -> u32 {
        if self.users { NOBODY } else { self.user }
    }
}

/// Runs `work` in a cell, in the directory that it is given, with `result` as its descriptor [`RESULT`]; what it fails with,
/// and all that it prints, goes to `messages`.
pub fn start(
    address_space: u64,
    result: &impl AsFd,
    messages: &impl AsFd,
    work: impl FnOnce(&Path) -> Result<()>,
) -> io::Result<Inmate> {
    let root = Uid::effective().is_root();
    let walls = Walls { root, users: root, user: user_outside() };
    let (gate, go) = io::pipe()?;
    let (walls, made) = match clone(walls.namespaces()) {
        Err(errno) if walls.users => {
            if notes::first("no-user-namespaces") {
                log::warn!("compilers have no user namespace of their own on this node: {errno}");
            }
            let walls = Walls { users: false, ..walls };
            (walls, clone(walls.namespaces())?)
        }
        made => (walls, made?),
    };
    let Some(inmate) = made else {
        drop(go);
        let done = wait_at(gate, walls)
            .and_then(|()| confine(walls, address_space, result.as_fd().as_raw_fd(), messages.as_fd().as_raw_fd()))
            .and_then(|directory| work(&directory));
        let code = match done {
            Ok(()) => 0,
            Err(error) => {
                // Before the descriptors are arranged, and after it: the parent that would read it may be gone.
                let _ = write!(io::stderr(), "{error:#}");
                1
            }
        };
        // SAFETY: ends the child without the parent's destructors.
        unsafe { libc::_exit(code) }
    };
    drop(gate);
    if walls.users {
        // A compiler whose maker fails here finds the gate closed.
        let map = format!("{NOBODY} {} 1", walls.user);
        for name in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{}/{name}", inmate.pid), &map)?;
        }
    }
    (&go).write_all(b"g")?;
    Ok(inmate)
}

/// The user for the compiler of this process; what is not mapped where this process lives cannot be had.
fn user_outside() -> u32 {
    let wanted = FIRST_USER + std::process::id();
    let maps = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let has = |line: &str| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u64>().ok());
        let (first, count) = (numbers.next()?, numbers.nth(1)?);
        Some((first..first + count).contains(&u64::from(wanted)))
    };
    if maps.lines().any(|line| has(line) == Some(true)) { wanted } else { NOBODY }
}

/// fork(2) into new namespaces: the child gets `None`.
fn clone(namespaces: libc::c_int) -> nix::Result<Option<Inmate>> {
    // SAFETY: a builder, and whoever compiles for people, has one thread.
    let made = unsafe { clone3(namespaces, libc::SIGCHLD, None)? };
    Ok(made.map(|(pid, pidfd)| Inmate { pid, pidfd }))
}

/// Waits until the maker has done its part.
fn wait_at(mut gate: io::PipeReader, walls: Walls) -> Result<()> {
    let mut byte = [0];
    let count = io::Read::read(&mut gate, &mut byte)?;
    ensure!(count == 1 || !walls.users, "the compiler's user namespace could not be made");
    Ok(())
}

/// Gives up what a compiler does not need; a directory to work in. Without root, what is possible without it.
fn confine(walls: Walls, address_space: u64, result: RawFd, messages: RawFd) -> Result<PathBuf> {
    // Inherited by a builder's compilers; those of people have none yet. Needs the node's /proc.
    priority::first_to_be_killed();
    arrange(result, messages).context("cannot arrange the descriptors")?;
    priority::lowest();
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    for (resource, limit) in [
        (Resource::RLIMIT_CPU, CPU_SECONDS),
        (Resource::RLIMIT_AS, address_space),
        (Resource::RLIMIT_FSIZE, OUTPUT),
        (Resource::RLIMIT_NOFILE, 64),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ] {
        setrlimit(resource, limit, limit).with_context(|| format!("cannot limit {resource:?}"))?;
    }
    let directory = if walls.root {
        become_user(walls.inner())?;
        if walls.user != NOBODY {
            let threads = processors + THREADS;
            setrlimit(Resource::RLIMIT_NPROC, threads, threads).context("cannot limit processes")?;
        }
        enter_workspace(walls.inner())?;
        PathBuf::from("/")
    } else {
        let own = Path::new(WORKSPACE).join(format!("wasmedge-compile-{}", std::process::id()));
        fs::create_dir(&own)?;
        own
    };
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).with_context(|| format!("cannot give up the {set:?} capabilities"))?;
    }
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    // After the change of user, which resets it: a parent that is killed takes its compiler with it.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    ensure!(is_read(), "nobody waits for the compiler any more");
    filter::install().map_err(anyhow::Error::msg)?;
    Ok(directory)
}

/// Standard input is empty, the other two are for messages, and there is nothing but [`RESULT`].
fn arrange(result: RawFd, messages: RawFd) -> io::Result<()> {
    let null = fs::OpenOptions::new().read(true).open("/dev/null")?;
    // Out of the way first: a source may have the number of another's target.
    let high = [null.as_raw_fd(), messages, messages, result].map(|fd| {
        // SAFETY: makes a new descriptor.
        Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD, 16) })
    });
    for (target, source) in (0..).zip(high) {
        // SAFETY: what had these numbers is this process's copy, which nothing uses any more.
        Errno::result(unsafe { libc::dup2(source?, target) })?;
    }
    std::mem::forget(null);
    // SAFETY: as above; the process ends in `_exit`, without destructors.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, RESULT + 1, libc::c_uint::MAX, 0) })?;
    Ok(())
}

/// Becomes `user`, with the capabilities that a root of its own takes.
fn become_user(user: u32) -> Result<()> {
    // By the system calls: libc's functions wait for the other threads of the process that this one was cloned from, and one
    // that was being made then never answers here.
    // SAFETY: these take integers, and an empty list.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()))
            .context("cannot leave the groups")?;
        Errno::result(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
        Errno::result(libc::syscall(libc::SYS_setresgid, user, user, user)).context("cannot change the group")?;
        Errno::result(libc::syscall(libc::SYS_setresuid, user, user, user)).context("cannot change the user")?;
    }
    let permitted = caps::read(None, CapSet::Permitted)?;
    caps::set(None, CapSet::Effective, &permitted).context("cannot use the capabilities")?;
    Ok(())
}

/// All that it will ever open is here; libraries are loaded.
fn enter_workspace(user: u32) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot detach from the node's mounts")?;
    let options = format!("size={},mode=0700,uid={user},gid={user}", 2 * OUTPUT);
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), WORKSPACE, Some("tmpfs"), flags, Some(options.as_str()))
        .context("cannot mount a workspace")?;
    chdir(WORKSPACE)?;
    match pivot_root(".", ".") {
        Ok(()) => umount2(".", MntFlags::MNT_DETACH).context("cannot leave the node's root")?,
        // The node's root is a ramdisk.
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)?;
            chroot(".")?;
        }
        Err(errno) => return Err(errno).context("cannot enter the workspace"),
    }
    chdir("/").context("cannot enter the workspace")
}

/// Whether somebody still reads the messages.
fn is_read() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| !events.contains(PollFlags::POLLERR))
}
