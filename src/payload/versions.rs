//! Payloads of other versions.

use std::{fs, io, path::Path};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    Payload, Result, Store,
    error::failed,
    place::{UNFINISHED, lock_of, mark_of, remove},
};

impl Store {
    /// Removes every payload but this one. One that a host uses is marked: by that the host knows that it is to end when it has
    /// nothing to do, and another call removes it. Where two versions are installed side by side each takes its mark away when it
    /// starts a host.
    ///
    /// # Errors
    /// A directory cannot be read or removed.
    pub fn remove_others(&self, payload: &Payload) -> Result<()> {
        let _lock = self.lock()?;
        for entry in fs::read_dir(self.directory()).map_err(failed("read", self.directory()))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_name(&name) && name != payload.name() {
                let place = entry.path();
                self.retire(&place).map_err(failed("remove", &place))?;
            }
        }
        Ok(())
    }

    fn retire(&self, place: &Path) -> io::Result<()> {
        if is_in_use(place)? {
            return fs::write(mark_of(place), "");
        }
        // A directory that is there is complete, also for those who are killed while they remove it.
        let old = self.directory().join(format!("{UNFINISHED}old"));
        remove(&old)?;
        fs::rename(place, &old)?;
        remove(&old)
    }
}

/// Whether another version has been installed since a host of this engine began.
pub fn is_superseded(engine: &Path) -> bool {
    engine.parent().is_some_and(|place| mark_of(place).exists())
}

/// Whether somebody holds it.
fn is_in_use(place: &Path) -> io::Result<bool> {
    let file = match fs::File::open(lock_of(place)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    Ok(Flock::lock(file, FlockArg::LockExclusiveNonblock).is_err())
}

/// Whether it is a payload's, as [`Payload::name`] makes it.
fn is_name(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
