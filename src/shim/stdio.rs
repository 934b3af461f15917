//! A container's standard streams: pipes, copied from and to containerd's FIFOs.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use containerd_shim::asynchronous::io::{IoTasks, Stdio};
use nix::{fcntl::OFlag, unistd::pipe2};
use tokio::net::unix::pipe;
use wasmedge_shim_protocol::StdioPresence;

use crate::error::{Result, TaskError};

/// The pipes of one container between `prepare` and the answer of the host, which takes the container's ends.
pub struct Prepared {
    /// Which streams there are.
    pub presence: StdioPresence,
    /// The container's ends, in the protocol's order.
    pub container_ends: Vec<OwnedFd>,
    /// The copies, which run from now on.
    pub tasks: IoTasks,
}

/// Makes the pipes and starts copying.
///
/// # Errors
/// Names the stream whose FIFO cannot be opened. What was made by then is released.
pub fn prepare(stdio: &Stdio) -> Result<Prepared> {
    let tasks = IoTasks::default();
    let mut container_ends = Vec::new();
    if !stdio.stdin.is_empty() {
        let (reader, writer) = new_pipe("stdin")?;
        let writer = pipe::Sender::from_owned_fd(writer).map_err(|error| failed("stdin", &error))?;
        tasks.copy_from_fifo(&stdio.stdin, writer)?;
        container_ends.push(reader);
    }
    for (name, path) in [("stdout", &stdio.stdout), ("stderr", &stdio.stderr)] {
        if !path.is_empty() {
            let (reader, writer) = new_pipe(name)?;
            let reader = pipe::Receiver::from_owned_fd(reader).map_err(|error| failed(name, &error))?;
            tasks.copy_to_fifo(reader, path)?;
            container_ends.push(writer);
        }
    }
    let presence = StdioPresence {
        stdin: !stdio.stdin.is_empty(),
        stdout: !stdio.stdout.is_empty(),
        stderr: !stdio.stderr.is_empty(),
    };
    Ok(Prepared { presence, container_ends, tasks })
}

/// A pipe whose end on this side does not block; the flag belongs to the end, not to the pipe.
fn new_pipe(name: &str) -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(name, &errno.into()))?;
    let ours = if name == "stdin" { &writer } else { &reader };
    nix::fcntl::fcntl(ours.as_fd(), nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(|errno| failed(name, &errno.into()))?;
    Ok((reader, writer))
}

fn failed(name: &str, error: &io::Error) -> TaskError {
    TaskError::other(format!("cannot make the pipe for {name}: {error}"))
}
