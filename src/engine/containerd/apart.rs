//! Asking in a process of its own: the event loop and the memory of a client do not become a container's, which is a
//! fork of whoever makes it.

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::{prctl, signal::Signal, wait::waitpid},
    unistd::{ForkResult, fork},
};
use serde::{Serialize, de::DeserializeOwned};

/// What `work` brings forth in a child of this process.
///
/// # Errors
/// Those of `work`, as one text.
pub fn apart<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut answers, answer) = io::pipe()?;
    // SAFETY: the process has one thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop(answers);
            let sent = prctl::set_pdeathsig(Signal::SIGKILL).map_err(anyhow::Error::from).and_then(|()| {
                let outcome = work().map_err(|error| format!("{error:#}"));
                Ok(io::PipeWriter::from(answer.as_fd().try_clone_to_owned()?)
                    .write_all(&postcard::to_stdvec(&outcome)?)?)
            });
            // SAFETY: ends the child without its maker's destructors.
            unsafe { libc::_exit(sent.is_err().into()) }
        }
        ForkResult::Parent { child } => {
            drop(answer);
            let mut bytes = Vec::new();
            answers.read_to_end(&mut bytes)?;
            let end = waitpid(child, None)?;
            if bytes.is_empty() {
                bail!("the process that was asking containerd ended without an answer: {end:?}");
            }
            let outcome: std::result::Result<T, String> =
                postcard::from_bytes(&bytes).context("the answer of the process that was asking containerd")?;
            outcome.map_err(|cause| anyhow!(cause))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_come_back_and_a_death_is_told() {
        assert_eq!(apart(|| Ok(vec!["a".repeat(100_000), String::new()])).unwrap().len(), 2);
        let error = apart::<u8>(|| Err(anyhow!("cause").context("what"))).unwrap_err();
        assert_eq!(error.to_string(), "what: cause");
        // SAFETY: ends the child.
        let error = apart::<u8>(|| unsafe { libc::_exit(3) }).unwrap_err().to_string();
        assert!(error.contains("without an answer") && error.contains('3'), "{error}");
    }
}
