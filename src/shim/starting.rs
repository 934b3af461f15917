//! Shims that containerd does not know yet.
//!
//! It knows a shim from its first connection on, and asks for a clean-up after the death of those alone. What a shim
//! leaves that is killed before, or whose `start` is, the next `start` or `delete` on the node removes: each such shim
//! has an entry in a directory, which `start` and the daemon hold locked while they live.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nix::fcntl::{Flock, FlockArg};
use wasmedge_shim_protocol::{Location, ensure_private_dir};

use crate::socket::{is_served, remove};

/// The entry of one shim, locked.
pub struct Entry {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Entry {
    /// By `start`, before it makes a daemon that shall listen at `socket`; the daemon inherits the lock.
    pub fn announce(location: &Location, socket: &Path) -> io::Result<Self> {
        ensure_private_dir(location.root())?;
        ensure_private_dir(&location.starting())?;
        loop {
            if let Some(mut entry) = Self::lock(location, socket)? {
                entry._lock.write_all(socket.as_os_str().as_encoded_bytes())?;
                return Ok(entry);
            }
        }
    }

    /// `None` where the entry was removed meanwhile.
    fn lock(location: &Location, socket: &Path) -> io::Result<Option<Self>> {
        let name = socket.file_name().ok_or_else(|| io::Error::other(format!("{} has no name", socket.display())))?;
        let path = location.starting().join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        // Another one holds it for moments only, when it sweeps.
        let lock = Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| io::Error::from(errno))?;
        Ok((lock.metadata()?.nlink() > 0).then_some(Self { path, _lock: lock }))
    }

    /// containerd has connected, or another daemon serves already.
    pub fn end(self) {
        remove(&self.path);
    }
}

/// The entry of a daemon that serves, until containerd knows it.
#[derive(Clone)]
pub struct Known(Arc<Mutex<Option<Entry>>>);

impl Known {
    /// Of a daemon with this entry.
    pub fn new(entry: Entry) -> Self {
        Self(Arc::new(Mutex::new(Some(entry))))
    }

    /// containerd has asked for something.
    pub fn note(&self) {
        if let Some(entry) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            entry.end();
        }
    }
}

/// Removes what is left of shims that died unknown.
pub fn sweep(location: &Location) {
    let Ok(entries) = fs::read_dir(location.starting()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { continue };
        let socket = io::read_to_string(&*lock).unwrap_or_default();
        // It may be about to die, or known by another start: the next sweep will see.
        let socket = Path::new(&socket);
        if is_served(socket) {
            continue;
        }
        if !socket.as_os_str().is_empty() {
            remove(socket);
        }
        remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn scene() -> (tempfile::TempDir, Location, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::new(directory.path().join("run"));
        let socket = directory.path().join("socket");
        (directory, location, socket)
    }

    #[test]
    fn what_a_dead_shim_leaves_is_swept() {
        let (_directory, location, socket) = scene();
        let entry = Entry::announce(&location, &socket).unwrap();
        drop(UnixListener::bind(&socket).unwrap());
        sweep(&location);
        assert!(socket.exists(), "the daemon lives");
        drop(entry);
        sweep(&location);
        assert!(!socket.exists());
        assert_eq!(fs::read_dir(location.starting()).unwrap().count(), 0);
    }

    #[test]
    fn a_shim_that_serves_is_left_alone() {
        let (_directory, location, socket) = scene();
        drop(Entry::announce(&location, &socket).unwrap());
        let listener = UnixListener::bind(&socket).unwrap();
        sweep(&location);
        assert!(socket.exists());
        drop(listener);
        sweep(&location);
        assert!(!socket.exists());
    }

    #[test]
    fn the_entry_of_a_known_shim_is_gone() {
        let (_directory, location, socket) = scene();
        Entry::announce(&location, &socket).unwrap().end();
        let _left = UnixListener::bind(&socket).unwrap();
        sweep(&location);
        assert!(socket.exists());
        assert_eq!(fs::read_dir(location.starting()).unwrap().count(), 0);
    }
}
