//! Sockets of daemons, as seen by the actions: whether anybody will ever answer.

use std::{
    fs, io,
    os::unix::net::{UnixListener, UnixStream},
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
                if is_served(path) {
                    return Ok(None);
                }
                // A daemon that was killed left it.
                remove(path);
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
        Ok(daemon) if is_exiting(pid) => !daemon.wait(END_TIMEOUT).unwrap_or(true),
        _ => true,
    }
}

fn is_exiting(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; the fields after it begin with the third.
    let flags = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(9 - 3)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING != 0)
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
    use std::process::Command;

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
