//! A process that makes what a thread of the shim cannot: namespaces of users of the pod's own, and the first process of a pid
//! namespace that containers share.
//!
//! It is this program once more, so that nothing of the shim's memory and none of its descriptors is in a process which
//! containers of the pod may see. What it is told comes on standard input, and it ends, as the init does, when that ends: with
//! the shim, however that ends.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::{ForkResult, Gid, Uid, fork, setresgid, setresuid},
};
use wasmedge_shim_protocol::{NamespaceKind, Pidfd};

use super::{
    confine,
    namespaces::{self, Namespaces, Users, Wanted, wait_for_end},
};
use crate::limits;

/// The first word of the command line.
pub const NAME: &str = "pod-namespaces";

/// What ps(1) shows of the init.
const TITLE: &str = "wasmedge-pod";

/// How a line begins that says what has failed.
const FAILED: &str = "failed: ";

/// `NS_GET_USERNS` (ioctl_ns(2)).
const GET_OWNER: libc::Ioctl = 0xb701;

/// The first process of a pod's pid namespace. It ends with this.
pub struct Init {
    /// Its process id on the node.
    pub pid: u32,
    /// Its descriptor.
    pub pidfd: Pidfd,
    _life: ChildStdin,
}

impl Drop for Init {
    fn drop(&mut self) {
        let _ = self.pidfd.send_signal(libc::SIGKILL);
        reap(&self.pidfd);
    }
}

/// Waits for the end of a child, and forgets it.
fn reap(child: &Pidfd) {
    let fd = std::os::fd::AsFd::as_fd(child).as_raw_fd();
    // SAFETY: waits for a child of this process, by a descriptor that is open.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PIDFD, fd.unsigned_abs(), &raw mut info, libc::WEXITED);
    }
}

/// Has the namespaces made, and the init if one is wanted.
///
/// # Errors
/// Says what cannot be had; nothing is left then.
pub fn make(wanted: &Wanted) -> Result<(Namespaces, Option<Init>)> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(TITLE).arg(NAME).env_clear().current_dir("/");
    limits::give_back(&mut command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut maker = command.spawn().context("cannot execute the shim once more")?;
    let made = take(&mut maker, wanted);
    // It waits to be left; the init, if there is one, has its own way to the pipe.
    let _ = maker.kill();
    let _ = maker.wait();
    made
}

fn take(maker: &mut Child, wanted: &Wanted) -> Result<(Namespaces, Option<Init>)> {
    let (Some(mut life), Some(answers)) = (maker.stdin.take(), maker.stdout.take()) else { bail!("no pipes") };
    let mut told = serde_json::to_vec(wanted)?;
    told.push(b'\n');
    life.write_all(&told).context("cannot tell what is wanted")?;
    let mut answer = String::new();
    BufReader::new(answers).read_line(&mut answer)?;
    let answer = answer.trim_end();
    if let Some(cause) = answer.strip_prefix(FAILED) {
        bail!("{cause}");
    }
    let init: i32 = answer.parse().map_err(|_| anyhow!("the process that makes namespaces has ended"))?;
    let mut namespaces = wanted.open(&maker.id().to_string())?;
    if init == 0 {
        return Ok((namespaces, None));
    }
    let pidfd = Pidfd::open(init).context("the pod's first process has ended")?;
    let init = Init { pid: init.unsigned_abs(), pidfd, _life: life };
    namespaces.push((NamespaceKind::Pid, namespaces::open(&init.pid.to_string(), NamespaceKind::Pid)?));
    ensure!(!init.pidfd.has_ended(), "the pod's first process has ended");
    Ok((namespaces, Some(init)))
}

/// The process itself: makes what standard input says, tells the init's process id, or 0, and waits.
pub fn command() -> Result<()> {
    let mut told = String::new();
    // No further than the line: what follows is the end.
    let mut stdin = BufReader::with_capacity(1, io::stdin());
    stdin.read_line(&mut told)?;
    let made = serde_json::from_str::<Wanted>(&told).map_err(Into::into).and_then(|wanted| run(&wanted));
    let answer = match made {
        Ok(init) => init.to_string(),
        Err(error) => format!("{FAILED}{error:#}").replace('\n', " "),
    };
    writeln!(io::stdout(), "{answer}")?;
    Ok(wait_for_end(io::stdin())?)
}

fn run(wanted: &Wanted) -> Result<i32> {
    if let Some(users) = &wanted.user {
        enter_users(wanted, users).context("the pod's user namespace")?;
    }
    wanted.enter()?;
    if !wanted.pid {
        return Ok(0);
    }
    let user = wanted.user.is_some();
    // The init is the shim's child, as it is the shim that waits for its end.
    // SAFETY: this process has one thread; the child does not return.
    match unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_PARENT | libc::SIGCHLD, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()).context("cannot make the pod's first process"),
        0 => confine::become_init(user),
        pid => Ok(i32::try_from(pid)?),
    }
}

/// Enters the user namespace of the pod, and is root there: that which its network belongs to, or a new one where it has the
/// node's network.
fn enter_users(wanted: &Wanted, users: &Users) -> Result<()> {
    match &wanted.net {
        Some(path) => {
            let net = File::open(path).with_context(|| path.display().to_string())?;
            // SAFETY: asks for a descriptor.
            let owner = unsafe { libc::ioctl(net.as_raw_fd(), GET_OWNER) };
            let owner = nix::errno::Errno::result(owner).context("it is not known whose the pod's network is")?;
            // SAFETY: the kernel has made this descriptor for us.
            let owner = unsafe { OwnedFd::from_raw_fd(owner) };
            setns(owner, CloneFlags::CLONE_NEWUSER).context("cannot enter that of the pod's network")?;
        }
        None => make_users(users)?,
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid)).context("it has no root")
}

/// A new one; a child writes the mappings, from outside of it.
fn make_users(users: &Users) -> Result<()> {
    let me = std::process::id();
    let (mut go, mut is_there) = io::pipe()?;
    let (mut outcome, mut tell) = io::pipe()?;
    // SAFETY: this process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop((is_there, outcome));
            let mapped = io::Read::read_exact(&mut go, &mut [0]).map_err(Into::into).and_then(|()| map(me, users));
            let text = mapped.err().map(|error| format!("{error:#}")).unwrap_or_default();
            let _ = tell.write_all(text.as_bytes());
            drop(tell);
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((go, tell));
            unshare(CloneFlags::CLONE_NEWUSER).context("the kernel gives none")?;
            is_there.write_all(&[0])?;
            let failed = io::read_to_string(&mut outcome)?;
            nix::sys::wait::waitpid(child, None)?;
            ensure!(failed.is_empty(), "{failed}");
            Ok(())
        }
    }
}

fn map(pid: u32, users: &Users) -> Result<()> {
    for (file, mappings) in [("gid_map", &users.gids), ("uid_map", &users.uids)] {
        let line = |one: &super::config::Mapping| format!("{} {} {}\n", one.container_id, one.host_id, one.length);
        let lines: String = mappings.iter().map(line).collect();
        fs::write(format!("/proc/{pid}/{file}"), &lines)
            .with_context(|| format!("cannot map {:?}", lines.trim_end()))?;
    }
    Ok(())
}
