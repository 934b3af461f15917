//! The fourth stage of a creation: the container's init, which from now on is a process of the container.
//!
//! It begins as a copy of the worker, with its descriptors. So what it does first of all, and what is done for it where
//! somebody else may see it before, is to close the node's; it can tell the worker causes of failures, and nothing else.

use std::os::fd::OwnedFd;

use anyhow::Result;
use wasmedge_shim_protocol::Create;

use super::{
    by_libcontainer, launch,
    making::{Born, Making},
    place::Placed,
    state::State,
};
use crate::guest::report::Causes;

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
