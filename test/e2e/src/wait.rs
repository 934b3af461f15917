//! Waiting for something to become true.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const STEP: Duration = Duration::from_millis(10);

/// What `probe` finds, as soon as it does; `None` if that is not within `limit`.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
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
    within(Duration::from_secs(10), probe).unwrap_or_else(|| panic!("waited 10 s for {what}"))
}
