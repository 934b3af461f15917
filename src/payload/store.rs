//! Where payloads are unpacked: a directory for each, which begins to exist when it is complete.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use wasmedge_shim_protocol::{ensure_private_dir, gone, others_can_replace_in};

use crate::{
    ENGINE, Error, Manifest, Payload, Result,
    error::failed,
    place::{UNFINISHED, fault, fill, lock_of, mark_of, remove},
};

/// How long another process may take to unpack.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of root's with unpacked payloads.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// A payload that nobody removes as long as this lives.
#[derive(Debug)]
pub struct InUse(Flock<File>);

impl InUse {
    /// Holds what is unpacked at `place`, if something is.
    ///
    /// # Errors
    /// Of open(2) and flock(2).
    pub fn hold(place: &Path) -> io::Result<Option<Self>> {
        match File::open(lock_of(place)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self(Flock::lock(file?, FlockArg::LockShared).map_err(|(_, errno)| errno)?))),
        }
    }
}

impl AsFd for InUse {
    /// What holds the lock: it lasts for as long as any process has it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Store {
    /// The one in this directory, which is made when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the engine of a payload is, or will be.
    pub fn engine(&self, payload: &Payload) -> PathBuf {
        self.place(payload).join(ENGINE)
    }

    /// Where a payload is, or will be.
    pub fn place(&self, payload: &Payload) -> PathBuf {
        self.directory.join(payload.name())
    }

    /// Unpacks this program's payload unless it is there, complete and unchanged, which takes some tenths of a second to find
    /// out.
    ///
    /// # Errors
    /// It cannot be unpacked; nothing is left of it then.
    pub fn ensure(&self, payload: &Payload) -> Result<InUse> {
        self.ensure_from(payload, payload.file()?)
    }

    fn ensure_from(&self, payload: &Payload, file: File) -> Result<InUse> {
        let _lock = self.lock()?;
        let place = self.place(payload);
        let (manifest, compressed) = payload.open(file)?;
        if let Some(fault) = fault(&place, &manifest) {
            if place.exists() {
                log::warn!("the engine is unpacked again: {fault}");
            }
            self.unpack(&place, &manifest, compressed)?;
        }
        let mark = mark_of(&place);
        gone(fs::remove_file(&mark)).map_err(failed("remove", &mark))?;
        let held = InUse::hold(&place).and_then(|held| held.ok_or_else(|| io::ErrorKind::NotFound.into()));
        held.map_err(failed("lock", &lock_of(&place)))
    }

    fn unpack(&self, place: &Path, manifest: &Manifest, compressed: impl io::Read) -> Result<()> {
        self.sweep()?;
        let new = self.directory.join(format!("{UNFINISHED}new"));
        let made = make(&new, place, manifest, compressed).and_then(|()| self.put(&new, place));
        made.map_err(|error| {
            // What the full disk needs most.
            let _ = remove(&new);
            match error {
                Error::Io { cause, .. } if is_full(&cause) => {
                    Error::NoRoom { path: place.to_owned(), cause, mib: manifest.size().div_ceil(1 << 20) }
                }
                error => error,
            }
        })
    }

    /// Puts `new` in its place. What is there may be in use: it is moved, and who has it open or mapped keeps it.
    fn put(&self, new: &Path, place: &Path) -> Result<()> {
        let old = self.directory.join(format!("{UNFINISHED}old"));
        gone(fs::rename(place, &old)).map_err(failed("rename", place))?;
        fs::rename(new, place).map_err(failed("rename", new))?;
        remove(&old).map_err(failed("remove", &old))
    }

    /// Removes what processes have left that were killed. Nobody else is at it: the lock is held.
    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.directory).map_err(failed("read", &self.directory))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                remove(&entry.path()).map_err(failed("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// The lock that whoever changes something holds meanwhile.
    pub(crate) fn lock(&self) -> Result<Flock<File>> {
        ensure_private_dir(&self.directory).map_err(failed("use", &self.directory))?;
        check_parents(&self.directory)?;
        let path = lock_of(&self.directory);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(&path).map_err(failed("open", &path))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((file, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
                Err((_, errno)) => return Err(failed("lock", &path)(errno.into())),
            };
            sleep(Duration::from_millis(5));
        }
    }
}

fn make(new: &Path, place: &Path, manifest: &Manifest, compressed: impl io::Read) -> Result<()> {
    DirBuilder::new().mode(0o700).create(new).map_err(failed("create", new))?;
    fill(new, place, manifest, compressed)?;
    let lock = lock_of(new);
    File::create_new(&lock).map(drop).map_err(failed("create", &lock))
}

/// Whoever could write to a directory above could put something else in its place.
fn check_parents(directory: &Path) -> Result<()> {
    for parent in directory.ancestors().skip(1) {
        if others_can_replace_in(&fs::metadata(parent).map_err(failed("use", parent))?) {
            return Err(failed("use", parent)(io::Error::other("others than its owner and root can write to it")));
        }
    }
    Ok(())
}

fn is_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests;
