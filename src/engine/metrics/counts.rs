//! What a host has done since its start, counted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::noted::Noted;

/// Upper bounds of the time that a creation takes, in milliseconds; what takes longer is in none.
pub const BOUNDS: [u64; 11] = [5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000, 120_000];

/// What runs in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A module.
    Wasm,
    /// A Linux program.
    Linux,
    /// Its creation came to an end before that was known.
    Unknown,
}

impl Kind {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 3] = [Self::Wasm, Self::Linux, Self::Unknown];

    /// As metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Linux => "linux",
            Self::Unknown => "unknown",
        }
    }
}

/// Creations of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Creations {
    /// How many came to a container.
    pub done: u64,
    /// How many did not.
    pub failed: u64,
    /// How many of those that did took no longer than each of [`BOUNDS`], and longer than the one before.
    pub within: Vec<u64>,
    /// The time of all that did, in microseconds.
    pub micros: u64,
}

/// The counters of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Creations of containers, in the order of [`Kind::ALL`].
    pub creations: [Creations; 3],
    /// Other programs that were started in containers.
    pub execs: u64,
    /// Those that could not be.
    pub execs_failed: u64,
    /// Containers that ended for want of memory.
    pub oom_killed: u64,
    /// Workers that were killed, or ended as they took too long.
    pub workers_lost: u64,
    /// How often native code was looked for and was in the cache.
    pub cache_hits: u64,
    /// How often it was not.
    pub cache_misses: u64,
    /// How often a compiler was waited for.
    pub waits: u64,
    /// How long, in microseconds.
    pub wait_micros: u64,
}

impl Counts {
    /// Counts what a worker has noted.
    pub fn noted(&mut self, noted: &Noted) {
        match noted.cached {
            Some(true) => self.cache_hits += 1,
            Some(false) => self.cache_misses += 1,
            None => {}
        }
        if let Some(micros) = noted.waited_micros {
            self.waits += 1;
            self.wait_micros = self.wait_micros.saturating_add(micros);
        }
    }

    /// Counts a creation: whether its program is a module, where that is known, and how long it took where it succeeded.
    pub fn created(&mut self, module: Option<bool>, took: Option<Duration>) {
        let place = match module {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        };
        let creations = &mut self.creations[place];
        let Some(took) = took else {
            creations.failed += 1;
            return;
        };
        creations.done += 1;
        creations.micros = creations.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        creations.within.resize(BOUNDS.len(), 0);
        if let Some(bound) = BOUNDS.iter().position(|bound| took <= Duration::from_millis(*bound)) {
            creations.within[bound] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_are_counted_by_kind_result_and_time() {
        let mut counts = Counts::default();
        let millis = Duration::from_millis;
        for took in [1, 5, 6, 1_000_000] {
            counts.created(Some(true), Some(millis(took)));
        }
        counts.created(Some(false), None);
        counts.created(None, None);
        let [wasm, linux, unknown] = &counts.creations;
        assert_eq!((wasm.done, wasm.failed, wasm.micros), (4, 0, 1_000_012_000));
        assert_eq!(wasm.within, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((linux.failed, unknown.failed, linux.done), (1, 1, 0));
    }

    #[test]
    fn what_workers_have_noted_is_added_up() {
        let mut counts = Counts::default();
        let noted = |cached, waited_micros| Noted { cached, waited_micros, ..Noted::default() };
        for one in [noted(Some(false), Some(7)), noted(Some(false), None), noted(Some(true), Some(7)), Noted::default()]
        {
            counts.noted(&one);
        }
        let found = (counts.cache_hits, counts.cache_misses, counts.waits, counts.wait_micros);
        assert_eq!(found, (1, 2, 2, 14));
    }
}
