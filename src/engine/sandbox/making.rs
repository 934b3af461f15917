//! What a container's init is made of, and what comes of it.

use std::{os::fd::OwnedFd, path::PathBuf};

use wasmedge_shim_protocol::Create;

use super::{place::Placed, state::State};
use crate::guest::report::Causes;

/// A process that waits to be started.
pub struct Born {
    /// Its process id, as the node numbers it.
    pub pid: i32,
    /// Its descriptor, from its maker.
    pub pidfd: OwnedFd,
    /// Its cgroup directories.
    pub cgroups: Vec<PathBuf>,
}

/// What an init is made of.
pub struct Making<'a> {
    /// The container's state on disk.
    pub state: &'a State,
    /// What the shim asked for.
    pub request: &'a Create,
    /// What was prepared.
    pub placed: &'a Placed,
    /// The standard streams, unless there is a terminal.
    pub stdio: &'a [OwnedFd; 3],
    /// Where it tells causes of failures.
    pub causes: &'a Causes,
}
