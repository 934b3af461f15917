//! A logging program: it reads the process's output itself (containerd, `core/runtime/v2/logging`).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
    process::Stdio,
    time::Duration,
};

use log::warn;
use nix::{
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::{Pid, pipe2},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::{Child, Command},
    time::timeout,
};
use wasmedge_shim_protocol::ContainerKey;

use crate::error::{Result, TaskError};

/// How long a logger may take until it says that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may go on when there is no more output, before it is told to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to end then; as in containerd's Go shim.
const TERM_TIMEOUT: Duration = Duration::from_secs(12);

/// A running logger.
pub struct Logger {
    child: Child,
}

impl Logger {
    /// Starts the program at `path`; it has standard output as descriptor 3, standard error as 4, and closes 5 when it
    /// is ready, which is waited for. Returns the ends for the process, too.
    ///
    /// # Errors
    /// Names the program.
    pub async fn start(path: &Path, args: &[String], key: &ContainerKey) -> Result<(Self, OwnedFd, OwnedFd)> {
        let failed = |error: io::Error| TaskError::other(format!("logging program {}: {error}", path.display()));
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()));
        let ((stdout, stdout_end), (stderr, stderr_end), (ready, ready_end)) = (pipe()?, pipe()?, pipe()?);
        let mut command = Command::new(path);
        command
            .args(args)
            .env_clear()
            .env("CONTAINER_ID", &key.id)
            .env("CONTAINER_NAMESPACE", &key.namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        pass(&mut command, [stdout, stderr, ready_end]).map_err(failed)?;
        let child = command.spawn().map_err(failed)?;
        // The copies for the child, which its command holds, go with it.
        drop(command);
        let mut logger = Self { child };
        if let Err(error) = wait_for(ready).await {
            logger.stop(Duration::ZERO).await;
            return Err(failed(error));
        }
        Ok((logger, stdout_end, stderr_end))
    }

    /// Waits until it has taken all there was. One that does not end is made to.
    pub async fn finish(&mut self) {
        self.stop(DRAIN_TIMEOUT).await;
    }

    async fn stop(&mut self, patience: Duration) {
        if timeout(patience, self.child.wait()).await.is_ok() {
            return;
        }
        if let Some(pid) = self.child.id() {
            warn!("the logging program, process {pid}, does not end by itself");
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        if timeout(TERM_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Gives the child these descriptors as 3, 4 and 5.
fn pass(command: &mut Command, fds: [OwnedFd; 3]) -> io::Result<()> {
    const FIRST: RawFd = 3;
    // Out of the way of the numbers that they get in the child.
    let mut high = Vec::new();
    for fd in &fds {
        // SAFETY: returns a new descriptor.
        let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new.
        high.push(unsafe { OwnedFd::from_raw_fd(copy) });
    }
    let place = move || {
        for (number, fd) in (FIRST..).zip(&high) {
            // SAFETY: dup2 is async-signal-safe; the numbers are free or the program's to lose.
            if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(place) };
    Ok(())
}

async fn wait_for(ready: OwnedFd) -> io::Result<()> {
    let mut ready = pipe::Receiver::from_owned_fd_unchecked(nonblocking(ready)?)?;
    let mut answer = [0];
    match timeout(READY_TIMEOUT, ready.read(&mut answer)).await {
        Ok(result) => result.map(drop),
        Err(_) => Err(io::Error::other(format!("it was not ready after {READY_TIMEOUT:?}"))),
    }
}

fn nonblocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(fd)
}
