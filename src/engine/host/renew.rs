//! What a zygote's children share, made less: an address layout that does not last for ever, and a canary of their own.
//!
//! A container's process is a fork of the host, so it has the host's address layout, stack canary and freed memory. Only
//! execve makes a new layout, so the host does that to itself when it has been up for some hours and has nothing to do;
//! what it listens on stays open, so no shim notices. docs/security.md has what is left.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{anew::begin_anew, state::Host};

/// After which time an idle host begins anew.
const AGE: Duration = Duration::from_secs(6 * 3600);

/// A file in the runtime directory that makes an idle host begin anew at once, for the node's people.
const ASKED: &str = "renew";

impl Host {
    /// Begins anew, if nobody needs this host now and it is old or was asked to.
    pub(super) fn renew_if_due(&self) {
        static BORN: OnceLock<Instant> = OnceLock::new();
        let age = BORN.get_or_init(Instant::now).elapsed();
        // Removing the file takes the wish back, so that it is fulfilled once.
        if self.is_idle() && (age > AGE || std::fs::remove_file(self.location.root().join(ASKED)).is_ok()) {
            log::info!("engine host {} begins anew", std::process::id());
            if let Err(error) = begin_anew(self.listener.socket(), &self.confinement, self.telling.environment()) {
                log::warn!("engine host {} goes on as it is: {error}", std::process::id());
            }
        }
    }
}
