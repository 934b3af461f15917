//! The last stage of a creation: what is done beside the init, which waits to be started.
//!
//! The guest has been read by then, so its process is not trusted: it is asked for nothing, and reached by the descriptor that
//! its maker has given.

use std::os::fd::OwnedFd;

use anyhow::Result;
use wasmedge_shim_protocol::Pidfd;

use super::{by_hand, cgroup, devices, init::Born, mounts::propagation, place::Placed};

/// Completes the container; the terminal's master, if it has one.
///
/// The order: limits come first, then what the container is told by them. Propagation comes last, since this process is in
/// the container's mount namespace afterwards.
///
/// # Errors
/// Names what cannot be set.
pub fn complete(placed: Placed, born: &Born) -> Result<Option<OwnedFd>> {
    cgroup::resources::apply(&placed.left, &born.cgroups)?;
    let pidfd = Pidfd::from(born.pidfd.try_clone()?);
    devices::name_core(born.pid, &pidfd)?;
    if let Some(by_hand) = &placed.by_hand {
        by_hand::after(by_hand, &pidfd)?;
    }
    let master = placed.console.map(|console| console.master(&placed.spec, placed.owner)).transpose()?;
    propagation::set(&placed.spec, &pidfd)?;
    Ok(master)
}
