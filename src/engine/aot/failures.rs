//! Modules that could not be compiled, so that not each start tries again. There is a fixed number of places; a newer one
//! takes that of an older, which is tried once more then.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{compiler::Failed, key::Key};

/// How many there are at most.
const PLACES: u16 = 256;

/// How long a module that could not be compiled is not tried again.
const RETRY: Duration = Duration::from_secs(600);

/// How often a compiler may be killed before it is believed to be the module's doing.
const KILLED: usize = 3;

/// Most bytes of a cause.
const CAUSE: usize = 512;

/// The node's, until its next reboot.
#[derive(Debug, Clone)]
pub struct Failures {
    directory: PathBuf,
}

impl Failures {
    /// In `directory`, which is there.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Why `key` could not be compiled, some time ago; none where its compilers were killed too few times to tell.
    pub fn get(&self, key: &Key) -> Option<String> {
        let (killed, cause) = self.read(key)?;
        (killed == 0 || killed >= KILLED).then_some(cause)
    }

    /// Remembers a failure.
    pub fn add(&self, key: &Key, failed: &Failed) {
        let (killed, mut cause) = match failed {
            Failed::Killed(_) => {
                let killed = self.read(key).map_or(0, |(killed, _)| killed) + 1;
                (killed, format!("{failed}, {killed} times"))
            }
            // It is the node's, and may be better the next time.
            Failed::Io(_) => return,
            Failed::Verdict(cause) => (0, cause.clone()),
        };
        while cause.len() > CAUSE {
            cause.pop();
        }
        let text = format!("{}\n{killed}\n{cause}", key.name());
        let path = self.path(key);
        let new = path.with_extension(std::process::id().to_string());
        // Without it the next start tries again.
        let written = fs::File::create(&new).and_then(|mut file| file.write_all(text.as_bytes()));
        if written.and_then(|()| fs::rename(&new, path)).is_err() {
            let _ = fs::remove_file(new);
        }
    }

    /// It could be compiled, or is to be tried at any rate.
    pub fn forget(&self, key: &Key) {
        if self.read(key).is_some() {
            let _ = fs::remove_file(self.path(key));
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        let sum = Sha256::digest(key.name());
        self.directory.join(format!("failed-{}", u16::from_le_bytes([sum[0], sum[1]]) % PLACES))
    }

    /// How often the compilers of `key` were killed, and the cause.
    fn read(&self, key: &Key) -> Option<(usize, String)> {
        let path = self.path(key);
        let age = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?.elapsed().unwrap_or_default();
        if age > RETRY {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let (killed, cause) = text.strip_prefix(&format!("{}\n", key.name()))?.split_once('\n')?;
        Some((killed.parse().ok()?, cause.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::Features;

    fn scene() -> (tempfile::TempDir, Failures) {
        let top = tempfile::tempdir().unwrap();
        let failures = Failures::new(top.path());
        (top, failures)
    }

    fn key(number: u64) -> Key {
        Key::of(&number.to_le_bytes(), Features::default())
    }

    #[test]
    fn a_failure_is_remembered_until_it_is_taken_back() {
        let (_top, failures) = scene();
        assert_eq!(failures.get(&key(0)), None);
        failures.add(&key(0), &Failed::Verdict("no luck".to_owned()));
        assert_eq!(failures.get(&key(0)).as_deref(), Some("no luck"));
        assert_eq!(failures.get(&key(1)), None);
        failures.forget(&key(0));
        assert_eq!(failures.get(&key(0)), None);
    }

    #[test]
    fn a_killed_compiler_is_no_verdict_but_many_are() {
        let (_top, failures) = scene();
        for _ in 1..KILLED {
            failures.add(&key(0), &Failed::Killed("SIGKILL".to_owned()));
            assert_eq!(failures.get(&key(0)), None);
        }
        failures.add(&key(0), &Failed::Killed("SIGKILL".to_owned()));
        assert_eq!(failures.get(&key(0)).as_deref(), Some("the compiler was killed by SIGKILL, 3 times"));
        failures.add(&key(1), &Failed::Io(std::io::Error::other("no memory")));
        assert_eq!(failures.get(&key(1)), None);
    }

    #[test]
    fn there_are_no_more_notes_than_places_and_none_is_long() {
        let (top, failures) = scene();
        for number in 0..2000 {
            failures.add(&key(number), &Failed::Verdict("ä".repeat(5000)));
        }
        let notes: Vec<_> = fs::read_dir(top.path()).unwrap().flatten().collect();
        assert!(notes.len() <= PLACES.into());
        assert!(notes.iter().all(|note| note.metadata().unwrap().len() < 1024));
        assert!(failures.get(&key(1999)).is_some());
    }
}
