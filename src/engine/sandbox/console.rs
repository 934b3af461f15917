//! The terminal of a container: libcontainer makes it inside and sends its master to a socket.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;

use super::{handover, state::State};
use crate::guest::console;

const NAME: &str = "console.sock";

/// Where libcontainer sends the master.
pub struct ConsoleSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// In the container's state directory, which becomes this process's working directory: a socket's path may have 107
    /// bytes only.
    pub fn new(state: &State) -> Result<Self> {
        let path = state.bundle().join(NAME);
        let failed = || format!("cannot make {}", path.display());
        std::env::set_current_dir(state.bundle()).with_context(failed)?;
        let listener = UnixListener::bind(NAME).with_context(failed)?;
        Ok(Self { path, listener })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The master of the terminal of a container that has been made, with the size that the spec gives; it belongs to
    /// the user `owner` of the node.
    pub fn master(self, spec: &Spec, owner: u32) -> Result<OwnedFd> {
        let (stream, _) = self.listener.accept().context("the container has no terminal")?;
        let received = handover::receive(&stream.into()).context("the container's terminal did not come")?;
        let (_, master) = received.context("the container's terminal did not come")?;
        let master = master.context("the container's terminal did not come")?;
        let size = spec.process().as_ref().and_then(|process| process.console_size());
        console::resize(&master, size).context("cannot set the terminal's size")?;
        console::give_to(&master, owner).context("cannot give the terminal to the container's user")?;
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        Ok(master)
    }
}
