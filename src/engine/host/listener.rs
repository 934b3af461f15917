//! The socket on which shims connect: where it is, whose it is, and what happens when there is no descriptor left.

use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit};
use wasmedge_shim_protocol::{Channel, Error};

use super::anew;

/// Descriptors that new connections leave to the work for those that are there: streams that come with a request, pidfds,
/// sockets of workers.
const RESERVE: u64 = 16;

/// How long no connection is taken after there was no descriptor for one.
const PAUSE: Duration = Duration::from_millis(250);

/// How often that is told.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A listening socket.
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// The socket's file as it was made.
    file: (u64, u64),
    paused_until: Option<Instant>,
    told: Option<Instant>,
}

/// What there is to take.
pub enum Arrival {
    /// A connection.
    Shim(Channel),
    /// Nothing at the moment.
    Nobody,
    /// Somebody may wait, but there is no descriptor. They wait on, in the socket's queue.
    NoRoom,
}

impl Listener {
    /// Listens at `path`. Whoever starts a host holds a lock and has found nobody listening: a socket that is there is a
    /// dead host's. A host that begins anew goes on with its own.
    pub fn new(path: &Path) -> Result<Self> {
        let failed = || format!("cannot listen on {}", path.display());
        let socket = match anew::inherited_listener() {
            Some(socket) => socket,
            None => {
                let _ = fs::remove_file(path);
                Channel::listen(path).with_context(failed)?
            }
        };
        let file = identity(path).with_context(failed)?;
        Ok(Self { socket, path: path.to_owned(), file, paused_until: None, told: None })
    }

    /// The socket, for polling.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket's file if it is still this one. As long as this host listens there nobody puts another in its
    /// place, so it is done before the socket is closed.
    pub fn withdraw(&self) {
        if identity(&self.path).ok() == Some(self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Takes the next connection.
    pub fn accept(&mut self) -> Arrival {
        match has_room(&self.socket).and_then(|()| Channel::accept(&self.socket)) {
            Ok(channel) => Arrival::Shim(channel),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Arrival::Nobody,
            Err(Error::Io(error)) if is_full(&error) => {
                self.pause(&error);
                Arrival::NoRoom
            }
            Err(error) => {
                log::warn!("connection refused: {error}");
                Arrival::Nobody
            }
        }
    }

    /// Until when nobody is to be taken.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether a pause is over, told once.
    pub fn resumes(&mut self) -> bool {
        self.paused_until.take_if(|until| *until <= Instant::now()).is_some()
    }

    fn pause(&mut self, error: &io::Error) {
        let now = Instant::now();
        self.paused_until = Some(now + PAUSE);
        if self.told.is_none_or(|told| now - told >= TELL_AGAIN) {
            self.told = Some(now);
            log::warn!("new shims have to wait: {error}; raise the limit on open files of containerd's service");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Whether there are descriptors for a connection and for work on top.
fn has_room(any: &OwnedFd) -> Result<(), Error> {
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    // The kernel gives the lowest free number.
    let free = any.as_fd().try_clone_to_owned()?;
    if u64::from(free.as_raw_fd().unsigned_abs()) + RESERVE < limit {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::EMFILE).into())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Regression test for C12: a leaving host removed the socket of its successor.
    #[test]
    fn a_leaving_host_removes_its_own_socket_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.sock");
        let first = Listener::new(&path).unwrap();
        let second = Listener::new(&path).unwrap();
        first.withdraw();
        assert!(path.exists());
        second.withdraw();
        assert!(!path.exists());
    }

    #[test]
    fn without_descriptors_a_connection_waits_in_the_queue() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.sock");
        let mut listener = Listener::new(&path).unwrap();
        assert!(matches!(listener.accept(), Arrival::Nobody));
        let _shim = Channel::open(&path, "test").unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        nix::sys::resource::setrlimit(Resource::RLIMIT_NOFILE, RESERVE, hard).unwrap();
        assert!(matches!(listener.accept(), Arrival::NoRoom));
        assert!(listener.paused_until().is_some() && !listener.resumes());
        nix::sys::resource::setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert!(matches!(listener.accept(), Arrival::Shim(_)));
        std::thread::sleep(PAUSE);
        assert!(listener.resumes() && !listener.resumes());
    }
}
