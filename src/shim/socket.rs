//! Sockets of daemons, as seen by the actions: whether anybody will ever answer.

use std::{
    fs, io,
    os::unix::{
        fs::MetadataExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use log::warn;
use nix::sys::socket::Backlog;
use wasmedge_shim_protocol::{Pidfd, check_peer};

/// `PF_EXITING` (linux/sched.h), in field 9 of `/proc/PID/stat` (proc_pid_stat(5)).
const EXITING: u64 = 0x4;

/// How long a daemon that is about to end may take to close its files. Only a busy machine needs any time.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that may wait until the daemon gets to them.
const BACKLOG: i32 = 128;

/// Listens at `path`, for root only; `None` where another daemon does so already.
pub fn listen(path: &Path) -> Result<Option<UnixListener>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    for _ in 0..2 {
        // From the first moment on: bind makes the file with the mask's permissions. There is one thread.
        let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(mask);
        match bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // A daemon that was killed may have left it.
                if !remove_unserved(path) {
                    return Ok(None);
                }
            }
            bound => return bound.map(Some).with_context(|| format!("cannot listen on {}", path.display())),
        }
    }
    bail!("cannot listen on {}: another process takes it each time", path.display())
}

/// Makes this process the one that clients find behind the socket ([`is_served`]), instead of the one that made it.
pub fn take_over(listener: &UnixListener) -> io::Result<()> {
    Ok(nix::sys::socket::listen(listener, Backlog::new(BACKLOG)?)?)
}

/// Whether a daemon listens at `path` that lives. One that has been killed closes its connections before its listening
/// socket; whoever saw the former closed may come here in between, and waits for the latter.
pub fn is_served(path: &Path) -> bool {
    let Ok(stream) = UnixStream::connect(path) else { return false };
    let Some(pid) = check_peer(&stream).ok().map(|peer| peer.pid).filter(|pid| *pid > 0) else { return true };
    match Pidfd::open(pid) {
        // A daemon that has not taken over yet is behind the socket of a `start` that has done its work.
        Ok(process) if is_exiting(pid) => {
            let _ = process.wait(END_TIMEOUT);
            UnixStream::connect(path).is_ok()
        }
        _ => true,
    }
}

fn is_exiting(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; the fields after it begin with the third.
    let flags = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(9 - 3)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING != 0)
}

/// Which file a socket is: another one at the same path is another daemon's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// An inode's number may be given again at once, but not within the same moment.
    made: (i64, i64),
}

impl Identity {
    /// The file at `path`, if there is one.
    pub fn of(path: &Path) -> Option<Self> {
        let meta = fs::symlink_metadata(path).ok()?;
        Some(Self { device: meta.dev(), inode: meta.ino(), made: (meta.ctime(), meta.ctime_nsec()) })
    }

    /// Removes the socket at `path` if it is this one.
    pub fn remove(self, path: &Path) {
        if Self::of(path) == Some(self) {
            remove(path);
        }
    }
}

/// Removes a socket that nobody serves; whether that was so. One that takes its place meanwhile is left.
pub fn remove_unserved(path: &Path) -> bool {
    let found = Identity::of(path);
    let unserved = !is_served(path);
    if unserved && let Some(found) = found {
        found.remove(path);
    }
    unserved
}

/// Removes a socket, which may be gone.
pub fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        process::Command,
    };

    use nix::{
        sys::wait::waitpid,
        unistd::{ForkResult, fork},
    };

    use super::*;

    #[test]
    fn a_socket_is_served_while_its_listener_lives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        assert!(!is_served(&path));
        let listener = listen(&path).unwrap().unwrap();
        take_over(&listener).unwrap();
        assert!(is_served(&path));
        assert!(listen(&path).unwrap().is_none());
        drop(listener);
        assert!(!is_served(&path));
        assert!(listen(&path).unwrap().is_some(), "what is left is replaced");
    }

    /// Regression test for C12: a daemon on its way out must not take its successor's socket along.
    #[test]
    fn a_socket_of_the_same_name_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let first = listen(&path).unwrap().unwrap();
        let of_first = Identity::of(&path).unwrap();
        drop(first);
        let _second = listen(&path).unwrap().unwrap();
        let of_second = Identity::of(&path).unwrap();
        of_first.remove(&path);
        assert!(is_served(&path), "{of_first:?} {of_second:?}");
        of_second.remove(&path);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_whose_maker_has_ended_is_served_by_who_inherited_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (mut told, mut tell) = io::pipe().unwrap();
        // SAFETY: the children make system calls and end.
        let maker = match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let _listener = UnixListener::bind(&path);
                // SAFETY: as above.
                match unsafe { fork() } {
                    Ok(ForkResult::Parent { child }) => drop(tell.write_all(&child.as_raw().to_ne_bytes())),
                    _ => nix::unistd::pause(),
                }
                // SAFETY: ends the child without the test harness's destructors.
                unsafe { libc::_exit(0) }
            }
        };
        let mut heir = [0; 4];
        told.read_exact(&mut heir).unwrap();
        assert!(Pidfd::open(maker.as_raw()).unwrap().wait(Duration::from_secs(10)).unwrap());
        assert!(is_served(&path), "by the child of a zombie");
        waitpid(maker, None).unwrap();
        assert!(is_served(&path), "by nobody's child");
        let heir = Pidfd::open(i32::from_ne_bytes(heir)).unwrap();
        heir.send_signal(libc::SIGKILL).unwrap();
        assert!(heir.wait(Duration::from_secs(10)).unwrap());
        assert!(!is_served(&path));
    }

    #[test]
    fn a_process_that_has_ended_is_exiting_and_this_one_is_not() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(Pidfd::open(pid).unwrap().wait(Duration::from_secs(10)).unwrap());
        assert!(is_exiting(pid), "a zombie");
        child.wait().unwrap();
        assert!(!is_exiting(std::process::id().cast_signed()));
    }
}
