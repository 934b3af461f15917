//! A logging program: it reads the process's output itself (containerd, `core/runtime/v2/logging`).

use std::{
    io,
    os::fd::OwnedFd,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use log::warn;
use nix::{
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::{Pid, pipe2},
};
use tokio::{io::AsyncReadExt, net::unix::pipe, process::Child, time::timeout};
use wasmedge_shim_protocol::ContainerKey;

use crate::{
    error::{Result, TaskError},
    limits,
};

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
        // The command holds them until it is dropped, so their numbers stay taken: the pipe by which std learns that the
        // program cannot be executed has others than those that the child's copies get.
        let mapping = [(3, stdout), (4, stderr), (5, ready_end)];
        let mapping = mapping.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).into();
        command.fd_mappings(mapping).map_err(|error| failed(io::Error::other(error)))?;
        limits::give_back(&mut command);
        let child = tokio::process::Command::from(command).spawn().map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key() -> ContainerKey {
        ContainerKey { namespace: "default".into(), id: "one".into() }
    }

    /// Regression test for C16: where the low numbers are free the pipe for this error had one of them.
    #[tokio::test(flavor = "current_thread")]
    async fn a_program_that_cannot_be_executed_is_an_error() {
        let error = Logger::start(Path::new("/no/such"), &[], &key()).await.err().unwrap().to_string();
        assert_eq!(error, "logging program /no/such: No such file or directory (os error 2)");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_program_has_its_streams_and_what_it_says_that_it_is_ready_by() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("logger");
        let script = "exec 5>&-\ncat <&3 >out\ncat <&4 >err\n";
        std::fs::write(&program, format!("#!/bin/sh\ncd {}\n{script}", directory.path().display())).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let (mut logger, stdout, stderr) = Logger::start(&program, &[], &key()).await.unwrap();
        nix::unistd::write(&stdout, b"to stdout").unwrap();
        nix::unistd::write(&stderr, b"to stderr").unwrap();
        drop((stdout, stderr));
        logger.finish().await;
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!((read("out"), read("err")), ("to stdout".into(), "to stderr".into()));
    }
}
