//! What a worker notes on its way for the host's metrics and traces. It goes with the report that is sent anyway, so it costs
//! nothing of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// What a worker has noted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Whether its program is a module, once that is known.
    pub module: Option<bool>,
    /// Whether the cache had native code for the module, where it was looked for.
    pub cached: Option<bool>,
    /// How long it has waited for a compiler, if it has, in microseconds.
    pub waited_micros: Option<u64>,
    /// The stages of a creation that is traced.
    pub stages: Option<Stages>,
}

/// A stage of a creation, at whose end time is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The host has the request; the first of all.
    Asked,
    /// The request is read and judged.
    Planned,
    /// The program is found, and its native code.
    Found,
    /// All is prepared on the node.
    Placed,
    /// The init has loaded its program.
    Born,
    /// What is left is done.
    Completed,
}

impl Stage {
    /// As its span is called.
    fn name(self) -> &'static str {
        match self {
            Self::Asked => "ask",
            Self::Planned => "plan",
            Self::Found => "workload",
            Self::Placed => "place",
            Self::Born => "init",
            Self::Completed => "after",
        }
    }
}

/// When the stages of a creation ended, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages(Vec<(Stage, u64)>);

impl Stages {
    /// Adds the end of a stage.
    pub fn add(&mut self, stage: Stage, at: u64) {
        self.0.push((stage, at));
    }

    /// The begin of the first and the end of the last.
    pub fn ends(&self) -> Option<(u64, u64)> {
        Some((self.0.first()?.1, self.0.last()?.1))
    }

    /// Each with its name, its begin and its end.
    pub fn spans(&self) -> impl Iterator<Item = (&'static str, (u64, u64))> {
        self.0.windows(2).map(|two| (two[1].0.name(), (two[0].1, two[1].1)))
    }
}

static NOTED: Mutex<Noted> = Mutex::new(Noted { module: None, cached: None, waited_micros: None, stages: None });

/// What this process has noted so far.
pub fn noted() -> Noted {
    notes().clone()
}

/// From now on stages are noted; the host had the request `at`, in nanoseconds since the Unix epoch.
pub fn trace(at: u64) {
    notes().stages = Some(Stages(vec![(Stage::Asked, at)]));
}

/// A stage is at its end.
pub fn stage(stage: Stage) {
    if let Some(stages) = &mut notes().stages {
        stages.add(stage, unix_nanos());
    }
}

/// The time, in nanoseconds since the Unix epoch.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The program is a module, or none.
pub fn program(is_module: bool) {
    notes().module = Some(is_module);
}

/// Native code was looked for in the cache; whether it was there.
pub fn looked_up(found: bool) {
    notes().cached.get_or_insert(found);
}

/// A compiler was waited for.
pub fn waited(time: Duration) {
    let mut noted = notes();
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    noted.waited_micros = Some(noted.waited_micros.unwrap_or_default().saturating_add(micros));
}

fn notes() -> MutexGuard<'static, Noted> {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner)
}
