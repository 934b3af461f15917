//! A process's standard streams: pipes or a terminal, copied from and to what containerd names.

mod fifo;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod hangup;
mod logger;
mod uri;

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use containerd_shim::asynchronous::io::{IoTasks, Pty, Stdio};
use log::warn;
use nix::{fcntl::OFlag, unistd::pipe2};
use tokio::{
    io::{AsyncRead, AsyncWriteExt},
    net::unix::pipe,
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use wasmedge_shim_protocol::{ContainerKey, StdioPresence};

use crate::{
    error::{Result, TaskError},
    logging,
};
use hangup::UntilHangup;
use logger::Logger;
use uri::Output;

/// How long output that is still under way may take when its process is deleted. The Go shim allows the same.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The copies of one process's streams.
#[derive(Default)]
pub struct Streams {
    inputs: IoTasks,
    outputs: Mutex<Vec<JoinHandle<()>>>,
    deleted: watch::Sender<bool>,
    logger: tokio::sync::Mutex<Option<Logger>>,
    terminal: OnceLock<Pty>,
}

/// What the engine host needs to know of a process's streams.
pub struct Prepared {
    /// Which streams there are.
    pub presence: StdioPresence,
    /// The process's ends, in the protocol's order.
    pub process_ends: Vec<OwnedFd>,
    /// The copies, which run from now on.
    pub streams: Streams,
}

/// Makes the pipes and starts copying. For a terminal there is nothing to do before the process has one, see
/// [`Streams::attach`].
///
/// # Errors
/// Names the stream that cannot be opened. What was made by then is released.
pub async fn prepare(stdio: &Stdio, key: &ContainerKey) -> Result<Prepared> {
    let mut streams = Streams::default();
    let mut prepared = (StdioPresence::default(), Vec::new());
    if !stdio.terminal {
        prepared = streams.connect(stdio, key).await?;
    }
    Ok(Prepared { presence: prepared.0, process_ends: prepared.1, streams })
}

impl Streams {
    async fn connect(&mut self, stdio: &Stdio, key: &ContainerKey) -> Result<(StdioPresence, Vec<OwnedFd>)> {
        let mut presence = StdioPresence::default();
        let mut ends = Vec::new();
        if !stdio.stdin.is_empty() {
            let (reader, writer) = new_pipe("stdin")?;
            let writer = pipe::Sender::from_owned_fd(writer).map_err(|error| failed("stdin", &error))?;
            self.inputs.copy_from_fifo(&stdio.stdin, writer)?;
            ends.push(reader);
            presence.stdin = true;
        }
        if let Output::Binary(path, args) = Output::parse(&stdio.stdout)? {
            let (logger, stdout, stderr) = Logger::start(&path, &args, key).await?;
            self.logger = tokio::sync::Mutex::new(Some(logger));
            ends.extend([stdout, stderr]);
            return Ok((StdioPresence { stdout: true, stderr: true, ..presence }, ends));
        }
        for (name, uri, present) in
            [("stdout", &stdio.stdout, &mut presence.stdout), ("stderr", &stdio.stderr, &mut presence.stderr)]
        {
            let output = Output::parse(uri)?;
            if output == Output::Null {
                continue;
            }
            let (reader, writer) = new_pipe(name)?;
            let reader = pipe::Receiver::from_owned_fd(reader).map_err(|error| failed(name, &error))?;
            self.copy_output(name, reader, &output)?;
            ends.push(writer);
            *present = true;
        }
        Ok((presence, ends))
    }

    fn copy_output(&self, name: &str, from: impl AsyncRead + Send + Unpin + 'static, to: &Output) -> Result<()> {
        match to {
            Output::Fifo(path) => {
                let fifo = fifo::Writer::open(path).map_err(|error| failed(&format!("{name} ({path})"), &error))?;
                self.spawn(fifo.copy(from, self.deleted.subscribe()));
                Ok(())
            }
            Output::File(path) => {
                let file = open_log(path).map_err(|error| failed(&format!("{name} ({})", path.display()), &error))?;
                self.spawn(copy_to_file(from, file));
                Ok(())
            }
            Output::Null | Output::Binary(..) => Ok(()),
        }
    }

    fn spawn(&self, copy: impl Future<Output = ()> + Send + 'static) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).push(logging::spawn(copy));
    }

    /// Takes the master of the process's terminal and starts copying.
    pub async fn attach(&self, master: OwnedFd, stdio: &Stdio, key: &ContainerKey) -> Result<()> {
        let terminal = Pty::new(File::from(master))?;
        if !stdio.stdin.is_empty() {
            self.inputs.copy_from_fifo(&stdio.stdin, terminal.clone())?;
        }
        match Output::parse(&stdio.stdout)? {
            Output::Binary(path, args) => {
                let (logger, stdout, _stderr) = Logger::start(&path, &args, key).await?;
                *self.logger.lock().await = Some(logger);
                self.spawn(copy_to_file(terminal.clone(), File::from(stdout)));
            }
            // Output that nobody wants must not fill the terminal.
            Output::Null => {
                let null = File::options().write(true).open("/dev/null").map_err(|error| failed("stdout", &error))?;
                self.spawn(copy_to_file(terminal.clone(), null));
            }
            output => self.copy_output("stdout", terminal.clone(), &output)?,
        }
        // A process has one.
        let _ = self.terminal.set(terminal);
        Ok(())
    }

    /// Sets the size of the terminal's window, in characters; `false` where there is no terminal.
    pub fn resize(&self, width: u32, height: u32) -> io::Result<bool> {
        let Some(terminal) = self.terminal.get() else { return Ok(false) };
        let cells = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let size = libc::winsize { ws_row: cells(height), ws_col: cells(width), ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: reads one structure.
        match unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) } {
            0 => Ok(true),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Lets the process's input end when its writer has gone.
    pub fn close_input(&self) {
        self.inputs.close_input();
    }

    /// Waits for output that is still under way, for a while, and releases everything.
    pub async fn shutdown(&self) {
        self.deleted.send_replace(true);
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        for mut copy in self.take_outputs() {
            if timeout_at(deadline, &mut copy).await.is_err() {
                warn!("output was not written within {DRAIN_TIMEOUT:?}, the rest is given up");
                copy.abort();
            }
        }
        self.inputs.abort().await;
        if let Some(mut logger) = self.logger.lock().await.take() {
            logger.finish().await;
        }
    }

    /// Releases everything, for a process that did not come to be.
    pub async fn abort(&self) {
        self.take_outputs().iter().for_each(JoinHandle::abort);
        self.inputs.abort().await;
        if let Some(mut logger) = self.logger.lock().await.take() {
            logger.finish().await;
        }
    }

    fn take_outputs(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A pipe whose end on this side does not block; the flag belongs to the end, not to the pipe.
fn new_pipe(name: &str) -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(name, &errno.into()))?;
    let ours = if name == "stdin" { &writer } else { &reader };
    nix::fcntl::fcntl(ours.as_fd(), nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(|errno| failed(name, &errno.into()))?;
    Ok((reader, writer))
}

/// As containerd's Go shim does: made where it is missing, with its directories, and appended to.
fn open_log(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    File::options().append(true).create(true).open(path)
}

async fn copy_to_file(from: impl AsyncRead + Unpin, to: File) {
    let (mut from, mut to) = (UntilHangup(from), tokio::fs::File::from_std(to));
    let copied = match tokio::io::copy(&mut from, &mut to).await {
        Ok(_) => to.flush().await,
        Err(error) => Err(error),
    };
    if let Err(error) = copied {
        warn!("output is lost from here on: {error}");
        // A full disk must not stop the process that writes.
        let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    }
}

fn failed(name: &str, error: &io::Error) -> TaskError {
    TaskError::other(format!("cannot open {name}: {error}"))
}
