//! The fourth stage of a creation: the container's init, which from now on is a process of the container.
//!
//! It begins as a copy of the worker, with its descriptors. So what it does first of all, and what is done for it where
//! somebody else may see it before, is to close the node's; it can tell the worker causes of failures, and nothing else.

use std::{os::fd::OwnedFd, path::PathBuf};

use anyhow::Result;
use wasmedge_shim_protocol::Create;

use super::{by_libcontainer, launch, place::Placed, state::State};
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

/// Makes the init and its cgroups, and waits until it only waits to be started.
///
/// # Errors
/// One line, where no better cause has been reported.
pub fn make(state: &State, request: &Create, placed: &Placed, stdio: &[OwnedFd; 3]) -> Result<Born> {
    let causes = Causes::new()?;
    let making = Making { state, request, placed, stdio, causes: &causes };
    let born = match launch::is_ordinary(&placed.spec, request) {
        true => launch::launch(&making),
        false => by_libcontainer::launch(&making),
    };
    if born.is_err() {
        causes.collect();
    }
    born
}
