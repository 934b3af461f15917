//! Waiting for something to become true.

use std::{
    sync::LazyLock,
    thread::sleep,
    time::{Duration, Instant},
};

const STEP: Duration = Duration::from_millis(10);

static PATIENCE: LazyLock<u32> = LazyLock::new(|| match std::env::var("E2E_PATIENCE") {
    Ok(text) => text.parse().ok().filter(|times| *times > 0).expect("E2E_PATIENCE is a whole number from 1"),
    Err(_) => 1,
});

/// A deadline for this machine: `E2E_PATIENCE` (1) times as long as for a quick one. A virtual machine without the
/// processor's help needs it.
pub fn patient(limit: Duration) -> Duration {
    limit * *PATIENCE
}

/// What `probe` finds, as soon as it does; `None` if that is not within `limit` times the [patience](patient).
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let (start, limit) = (Instant::now(), patient(limit));
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if start.elapsed() >= limit {
            return None;
        }
        sleep(STEP);
    }
}

/// As [`within`] ten seconds; panics where nothing is found, naming `what` was waited for.
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    const LIMIT: Duration = Duration::from_secs(10);
    within(LIMIT, probe).unwrap_or_else(|| panic!("waited {} s for {what}", patient(LIMIT).as_secs()))
}
