//! The settings: environment variables, with which a run can be repeated.

use std::{
    env, fmt,
    time::{SystemTime, UNIX_EPOCH},
};

/// How a run goes.
#[derive(Clone)]
pub struct Settings {
    /// What the closing line begins with.
    pub name: String,
    /// Of which everything random is made.
    pub seed: u64,
    /// The first lifecycle's number.
    pub first: u64,
    /// How many there are.
    pub lifecycles: u64,
    /// The longest time for all of them; none without it.
    pub seconds: Option<u64>,
    /// How many of a hundred have a fault.
    pub faults: u64,
    /// How many are under way at a time.
    pub parallel: u64,
    /// After how many everything is counted.
    pub batch: u64,
}

impl Settings {
    /// Reads the environment; panics where a number is none.
    pub fn from_environment() -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
        };
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        Self {
            name: env::var("CHAOS_NAME").unwrap_or_else(|_| "make chaos".into()),
            seed: number("CHAOS_SEED").unwrap_or_else(|| clock().into()),
            first: number("CHAOS_FIRST").unwrap_or(0),
            lifecycles: number("CHAOS_LIFECYCLES").unwrap_or(10_000),
            seconds: number("CHAOS_SECONDS"),
            faults: number("CHAOS_FAULTS").unwrap_or(30).min(100),
            parallel: number("CHAOS_PARALLEL").unwrap_or(3).max(1),
            batch: number("CHAOS_BATCH").unwrap_or(100).max(1),
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, first, lifecycles, faults, parallel, batch, .. } = self;
        write!(f, "CHAOS_SEED={seed} CHAOS_FIRST={first} CHAOS_LIFECYCLES={lifecycles} CHAOS_FAULTS={faults} ")?;
        write!(f, "CHAOS_PARALLEL={parallel} CHAOS_BATCH={batch}")
    }
}
