//! Work in a child of the worker: from some namespaces there is no way back.

use std::fs::File;

use anyhow::{Result, bail};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork, pipe},
};
use wasmedge_shim_protocol::Pidfd;

use super::namespaces;

/// Does `work` in a child, to its end.
///
/// # Errors
/// Those of `work`, as text.
pub fn run(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (cause, tell) = pipe()?;
    // SAFETY: a worker has a single thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop(cause);
            let failed = work().err();
            if let Some(error) = &failed {
                let _ = nix::unistd::write(&tell, format!("{error:#}").as_bytes());
            }
            // SAFETY: ends the child without the parent's destructors.
            unsafe { libc::_exit(i32::from(failed.is_some())) }
        }
        ForkResult::Parent { child } => {
            drop(tell);
            let cause = std::io::read_to_string(File::from(cause))?;
            match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => Ok(()),
                _ if cause.is_empty() => bail!("a process of the sandbox was killed"),
                _ => bail!(cause),
            }
        }
    }
}

/// Does `work` in the mount namespace of the process behind `pidfd`, a container's init, where `/` is the container's root.
///
/// # Errors
/// Those of `work`, as text.
pub fn in_mounts_of(pidfd: &Pidfd, work: impl FnOnce() -> Result<()>) -> Result<()> {
    run(|| {
        namespaces::enter_mounts(pidfd)?;
        work()
    })
}
