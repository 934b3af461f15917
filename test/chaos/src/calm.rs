//! Whether anything that concerns all containers of the node is being done to it. What fails in the calm is a finding.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread::sleep,
    time::Duration,
};

static ACTIVE: AtomicU64 = AtomicU64::new(0);
static BEGUN: AtomicU64 = AtomicU64::new(0);
static TIGHT: AtomicU64 = AtomicU64::new(0);

/// How long it takes until everybody has noticed the end of a fault: that a peer is dead, that there is room again.
const NOTICED: Duration = Duration::from_millis(100);

/// A fault, until it is dropped and noticed.
pub struct Disturbance(());

/// Begins to disturb everybody.
pub fn disturb() -> Disturbance {
    ACTIVE.fetch_add(1, SeqCst);
    BEGUN.fetch_add(1, SeqCst);
    Disturbance(())
}

/// Notes that a worker, whoever's it may be, has got too little memory: so has what it makes.
pub fn tighten() {
    TIGHT.fetch_add(1, SeqCst);
}

impl Drop for Disturbance {
    fn drop(&mut self) {
        sleep(NOTICED);
        ACTIVE.fetch_sub(1, SeqCst);
    }
}

/// A time, which began with this.
#[derive(Clone, Copy)]
pub struct Watch {
    calm: bool,
    begun: u64,
    tight: u64,
}

impl Watch {
    /// Begins to watch.
    pub fn new() -> Self {
        let begun = BEGUN.load(SeqCst);
        Self { calm: ACTIVE.load(SeqCst) == 0, begun, tight: TIGHT.load(SeqCst) }
    }

    /// Whether there has been no disturbance since then.
    pub fn undisturbed(self) -> bool {
        self.calm && BEGUN.load(SeqCst) == self.begun
    }

    /// Whether some worker may have had too little memory since then.
    pub fn was_tight(self) -> bool {
        TIGHT.load(SeqCst) != self.tight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disturbance_is_seen_by_those_that_watched_before_and_during_it() {
        let before = Watch::new();
        assert!(before.undisturbed());
        let disturbance = disturb();
        let during = Watch::new();
        assert!(!before.undisturbed() && !during.undisturbed());
        drop(disturbance);
        assert!(!before.undisturbed() && !during.undisturbed() && Watch::new().undisturbed());
    }
}
