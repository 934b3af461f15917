//! What is known about a container beyond the life of a host: enough to start it and to remove all of it.

use std::{
    fs,
    io::{self, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use wasmedge_shim_protocol::{ContainerKey, Location, ensure_private_dir};

use super::record;
pub use super::record::Record;

/// libcontainer's start socket, in its own directory.
const NOTIFY_SOCKET: &str = "notify.sock";
const RECORD: &str = "record.json";

/// The directory of one container's state: our record, the translated bundle, libcontainer's own directory.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
    id: String,
}

impl State {
    /// Of the container `key`.
    pub fn new(location: &Location, key: &ContainerKey) -> Self {
        Self { dir: location.namespace_state(&key.namespace).join(&key.id), id: key.id.clone() }
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// `AlreadyExists` where the container has one.
    pub fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.dir.parent() {
            ensure_private_dir(parent)?;
        }
        fs::create_dir(&self.dir)
    }

    /// Removes the directory and what is in it; one that is not there is fine.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The translated bundle, which libcontainer is given.
    pub fn bundle(&self) -> &Path {
        &self.dir
    }

    /// The translated spec.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Where the init's start socket is: libcontainer's directory of the container.
    pub fn start_socket_directory(&self) -> PathBuf {
        self.libcontainer_root().join(&self.id)
    }

    /// The socket on which the init waits to be started.
    pub fn start_socket(&self) -> PathBuf {
        self.start_socket_directory().join(NOTIFY_SOCKET)
    }

    /// Where libcontainer keeps its own state.
    pub fn libcontainer_root(&self) -> PathBuf {
        self.dir.join("libcontainer")
    }

    /// Writes the record, replacing the former one as a whole.
    pub fn save(&self, record: &Record) -> Result<()> {
        let (path, temporary) = (self.record_path(), self.dir.join("record.json.new"));
        fs::write(&temporary, serde_json::to_vec(record)?)
            .and_then(|()| fs::rename(&temporary, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads the record; `None` where there is none.
    ///
    /// # Errors
    /// One that cannot be read is not one that is not there.
    pub fn record(&self) -> Result<Option<Record>> {
        let failed = || format!("cannot understand {}", self.record_path().display());
        self.text()?.map(|text| record::read(&text).with_context(failed)).transpose()
    }

    /// What can be understood of a record that cannot be read as a whole.
    pub fn remains(&self) -> Record {
        self.text().ok().flatten().map(|text| record::salvage(&text)).unwrap_or_default()
    }

    fn record_path(&self) -> PathBuf {
        self.dir.join(RECORD)
    }

    fn text(&self) -> Result<Option<Vec<u8>>> {
        match fs::read(self.record_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text.map(Some).with_context(|| format!("cannot read {}", self.record_path().display())),
        }
    }

    /// Lets nobody else change the container until what this gives is dropped. Waits for whoever does.
    pub fn lock(&self) -> Result<Flock<fs::File>> {
        let failed = || format!("cannot lock {}", self.dir.display());
        let dir = fs::File::open(&self.dir).with_context(failed)?;
        Flock::lock(dir, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(failed)
    }

    /// Lets a created container go: its init waits for a connection to libcontainer's notify socket.
    ///
    /// # Errors
    /// `NotFound` where there is no such container, `ConnectionRefused` where nobody waits any more.
    pub fn notify_start(&self) -> io::Result<()> {
        // A socket's path may have 107 bytes, ours may have more: it is reached through its directory's descriptor.
        let dir = fs::File::open(self.start_socket_directory())?;
        let mut stream = UnixStream::connect(format!("/proc/self/fd/{}/{NOTIFY_SOCKET}", dir.as_raw_fd()))?;
        stream.write_all(b"start container")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::process::Init;

    fn state(root: &Path) -> State {
        let key = ContainerKey { namespace: "default".into(), id: "a".repeat(64) };
        State::new(&Location::new(root), &key)
    }

    #[test]
    fn a_record_survives_and_a_torn_one_is_not_one_that_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.make().unwrap();
        assert_eq!(state.record().unwrap(), None);
        let record = Record { bundle: "/b".into(), init: Some(Init { pid: 1, start_time: 2 }), ..Default::default() };
        state.save(&record).unwrap();
        assert_eq!(state.record().unwrap(), Some(record));
        fs::write(state.record_path(), "{\"bun").unwrap();
        let error = format!("{:#}", state.record().unwrap_err());
        assert!(error.starts_with(&format!("cannot understand {}: ", state.record_path().display())), "{error}");
        assert_eq!(state.remains(), Record::default());
    }

    #[test]
    fn a_container_is_changed_by_one_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.make().unwrap();
        let lock = state.lock().unwrap();
        let other = fs::File::open(state.bundle()).unwrap();
        let (other, errno) = Flock::lock(other, FlockArg::LockExclusiveNonblock).unwrap_err();
        assert_eq!(errno, nix::errno::Errno::EWOULDBLOCK);
        drop(lock);
        Flock::lock(other, FlockArg::LockExclusiveNonblock).unwrap();
    }

    #[test]
    fn a_second_container_of_the_same_name_is_refused_until_the_first_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.make().unwrap();
        assert_eq!(state.make().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        state.remove().unwrap();
        state.remove().unwrap();
        state.make().unwrap();
    }

    #[test]
    fn a_start_socket_is_reached_whatever_the_length_of_its_path() {
        let root = tempfile::tempdir().unwrap();
        let state = state(root.path());
        state.make().unwrap();
        let dir = state.libcontainer_root().join("a".repeat(64));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!(state.notify_start().unwrap_err().kind(), io::ErrorKind::NotFound);
        let before = std::env::current_dir().unwrap();
        std::env::set_current_dir(&dir).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(NOTIFY_SOCKET).unwrap();
        std::env::set_current_dir(before).unwrap();
        state.notify_start().unwrap();
    }
}
