//! Ending early without leaving containers behind.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Error, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

/// What a task in hand may take to end after a signal.
const GRACE: Duration = Duration::from_secs(10);

static SIGNAL: OnceLock<&str> = OnceLock::new();

/// `test/node/node exec` has its command killed when the caller dies, as it does on Ctrl-C. We ask for SIGTERM instead,
/// which leaves the time to delete what we have made.
pub fn outlive_the_parent() -> Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGTERM)?)
}

/// Fails after a signal. To be asked before each new container: those in hand are seen through, as containerd may forget
/// a shim whose Create request is cut off.
pub fn check() -> Result<()> {
    match SIGNAL.get() {
        Some(signal) => bail!("stopped by {signal}"),
        None => Ok(()),
    }
}

/// Sleeps, but not on after a signal, which is an error.
pub async fn sleep(time: Duration) -> Result<()> {
    let end = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < end {
        check()?;
        let slice = tokio::time::Instant::now() + Duration::from_millis(50);
        tokio::time::sleep_until(slice.min(end)).await;
    }
    check()
}

/// Waits for SIGINT, SIGTERM or SIGHUP, which makes [`check`] fail; returns an error if nobody has heeded that in time.
/// tokio's handlers stay, so a second signal does not stop the cleaning either.
pub async fn patience_is_over() -> Error {
    let signal = match signalled().await {
        Ok(signal) => *SIGNAL.get_or_init(|| signal),
        Err(error) => return error,
    };
    tokio::time::sleep(GRACE).await;
    Error::msg(format!("stopped by {signal}, with tasks that did not end in {GRACE:?}"))
}

async fn signalled() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}
