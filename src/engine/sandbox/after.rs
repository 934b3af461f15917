//! The last stage of a creation: what is done beside the init, which waits to be started.
//!
//! The guest has been read by then, so its process is not trusted: it is asked for nothing, and reached by the descriptor that
//! its maker has given.

use std::os::fd::OwnedFd;

use anyhow::Result;
use wasmedge_shim_protocol::Pidfd;

use super::{by_hand, cgroup, making::Born, mounts::propagation, place::Placed};

/// Completes the container; the terminal's master, if it has one.
///
/// The order: limits come first, while nothing of the container can be told to use more. What is mounted read-only comes last,
/// when all that is to be in it has been made.
///
/// # Errors
/// Names what cannot be set.
pub fn complete(placed: Placed, born: &Born) -> Result<Option<OwnedFd>> {
    cgroup::resources::apply(&placed.left, &born.cgroups)?;
    let pidfd = Pidfd::from(born.pidfd.try_clone()?);
    if let Some(by_hand) = &placed.by_hand {
        by_hand::after(by_hand, &pidfd)?;
    }
    let master = placed.console.map(|console| console.master(&placed.spec, placed.owner)).transpose()?;
    propagation::set(&placed.spec, &pidfd)?;
    placed.devices.finish(born.pid, &pidfd)?;
    placed.read_only.finish(&pidfd)?;
    Ok(master)
}
