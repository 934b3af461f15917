//! What compilers and the cache have done since the node was booted, counted in one file of fixed size.
//!
//! Compilers are processes that nobody waits for, of whichever host, so the count is the node's. It is written by who has
//! just compiled, and read by who is asked for metrics: no start of a container has to do with it.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use wasmedge_shim_protocol::Optimization;

/// The levels, in the order of their places.
const LEVELS: [Optimization; 6] =
    [Optimization::O0, Optimization::O1, Optimization::O2, Optimization::O3, Optimization::Os, Optimization::Oz];

/// How a compilation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With native code.
    Done,
    /// By the module's own fault, or a bound.
    Failed,
    /// Killed, or no compiler could be made.
    Killed,
}

impl Ended {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Killed];

    /// As metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Killed => "killed",
        }
    }
}

/// Counters of one level: how compilations ended, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compiled {
    /// The level.
    pub level: Optimization,
    /// How many ended so, in the order of [`Ended::ALL`].
    pub ended: [u64; 3],
    /// All of their time, in microseconds.
    pub micros: u64,
}

/// The counters as they are at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// By level.
    pub compiled: Vec<Compiled>,
    /// Entries that had to go from the cache to make room.
    pub evicted: u64,
    /// Their bytes.
    pub evicted_bytes: u64,
    /// Most bytes that the cache may have, as the last compilation was told; 0 before.
    pub cache_limit: u64,
    /// Most compilers at once, as the last compilation was told; 0 before.
    pub slots: u64,
}

/// Places of a level: [`Compiled`].
const OF_LEVEL: u64 = 4;

/// The places behind those of the levels. New ones are added at the end: another version may read the file.
const EVICTED: u64 = LEVELS.len() as u64 * OF_LEVEL;
const EVICTED_BYTES: u64 = EVICTED + 1;
const CACHE_LIMIT: u64 = EVICTED + 2;
const SLOTS: u64 = EVICTED + 3;
const PLACES: u64 = EVICTED + 4;

/// Counts in a file.
#[derive(Debug, Clone)]
pub struct Tally {
    path: PathBuf,
}

impl Tally {
    /// In `directory`, which is there.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join("tally") }
    }

    /// Counts a compilation at `level`.
    pub fn compiled(&self, level: Optimization, ended: Ended, took: Duration) {
        let at = LEVELS.iter().position(|one| *one == level).unwrap_or_default() as u64 * OF_LEVEL;
        let result = Ended::ALL.iter().position(|one| *one == ended).unwrap_or_default() as u64;
        self.add(&[(at + result, 1), (at + 3, u64::try_from(took.as_micros()).unwrap_or(u64::MAX))]);
    }

    /// Counts what had to go.
    pub fn evicted(&self, bytes: u64) {
        self.add(&[(EVICTED, 1), (EVICTED_BYTES, bytes)]);
    }

    /// Notes the bounds that hold now.
    pub fn bounds(&self, cache_limit: u64, slots: u64) {
        self.noted(|file| {
            put(file, CACHE_LIMIT, cache_limit)?;
            put(file, SLOTS, slots)
        });
    }

    fn add(&self, counts: &[(u64, u64)]) {
        self.noted(|file| {
            counts.iter().try_for_each(|(at, count)| put(file, *at, get(file, *at).saturating_add(*count)))
        });
    }

    /// What cannot be counted is not.
    fn noted(&self, note: impl FnOnce(&File) -> io::Result<()>) {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&self.path);
        let noted = file.and_then(|file| {
            let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            note(&lock)
        });
        if let Err(error) = noted {
            log::debug!("{}: {error}", self.path.display());
        }
    }

    /// The counters as they are.
    pub fn read(&self) -> Totals {
        let file = File::open(&self.path).ok();
        let get = |at| file.as_ref().map_or(0, |file| get(file, at));
        let compiled = LEVELS.iter().enumerate().map(|(number, level)| {
            let at = number as u64 * OF_LEVEL;
            Compiled { level: *level, ended: [get(at), get(at + 1), get(at + 2)], micros: get(at + 3) }
        });
        Totals {
            compiled: compiled.collect(),
            evicted: get(EVICTED),
            evicted_bytes: get(EVICTED_BYTES),
            cache_limit: get(CACHE_LIMIT),
            slots: get(SLOTS),
        }
    }
}

/// What is past the file's end is 0.
fn get(file: &File, at: u64) -> u64 {
    debug_assert!(at < PLACES);
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at * 8).map_or(0, |()| u64::from_le_bytes(bytes))
}

fn put(file: &File, at: u64, count: u64) -> io::Result<()> {
    file.write_all_at(&count.to_le_bytes(), at * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read_by_all_and_the_file_has_an_end() {
        let top = tempfile::tempdir().unwrap();
        let tally = Tally::new(top.path());
        assert_eq!((tally.read().compiled.len(), tally.read().evicted), (LEVELS.len(), 0));
        let second = Duration::from_secs(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| tally.compiled(Optimization::O2, Ended::Done, second)));
            }
        });
        tally.compiled(Optimization::O2, Ended::Killed, second);
        tally.compiled(Optimization::Oz, Ended::Failed, second);
        tally.evicted(10);
        tally.evicted(5);
        tally.bounds(1 << 30, 2);
        let totals = tally.read();
        assert_eq!(totals.compiled[2], Compiled { level: Optimization::O2, ended: [200, 0, 1], micros: 201_000_000 });
        assert_eq!(totals.compiled[5].ended, [0, 1, 0]);
        assert_eq!((totals.evicted, totals.evicted_bytes, totals.cache_limit, totals.slots), (2, 15, 1 << 30, 2));
        assert_eq!(std::fs::metadata(top.path().join("tally")).unwrap().len(), PLACES * 8);
    }
}
