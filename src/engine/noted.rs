//! What a worker notes on its way for the host's metrics. It goes with the report that is sent anyway, so it costs nothing
//! of its own.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What a worker has noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Whether its program is a module, once that is known.
    pub module: Option<bool>,
    /// Whether the cache had native code for the module, where it was looked for.
    pub cached: Option<bool>,
    /// How long it has waited for a compiler, if it has, in microseconds.
    pub waited_micros: Option<u64>,
}

static NOTED: Mutex<Noted> = Mutex::new(Noted { module: None, cached: None, waited_micros: None });

/// What this process has noted so far.
pub fn noted() -> Noted {
    *notes()
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
