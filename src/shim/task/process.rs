//! One process of a container: its init, or another program that was run in it.

use std::sync::OnceLock;

use containerd_shim::asynchronous::io::Stdio;
use tokio::sync::watch;
use wasmedge_shim_protocol::{ExitStatus, Pidfd};

use super::state::State;
use crate::{
    error::{Result, TaskError},
    stdio::Streams,
};

/// Exit status of a process whose end nobody saw; containerd's `UnknownExitStatus`.
pub const UNKNOWN: u32 = 255;

/// A process between its creation and its deletion.
pub struct Process {
    /// Its name among the container's programs, empty for the init.
    pub exec_id: String,
    /// What containerd wants its streams to be.
    pub stdio: Stdio,
    /// Held while a verb, or the end, is under way: events keep their order.
    pub turn: tokio::sync::Mutex<()>,
    /// What it is to run, an OCI `process` in JSON; the init has it from its spec.
    description: OnceLock<Vec<u8>>,
    /// What it has once there is a process.
    live: OnceLock<Live>,
    /// Whether its input was to end before there was one.
    input_closed: OnceLock<()>,
    state: watch::Sender<State>,
}

/// What belongs to a process that exists.
pub struct Live {
    /// Its process id.
    pub pid: u32,
    /// The same by descriptor.
    pub pidfd: Pidfd,
    /// Its streams.
    pub streams: Streams,
}

impl Process {
    /// A process that does not exist yet.
    pub fn new(exec_id: &str, stdio: Stdio) -> Self {
        let state = watch::Sender::new(State::Created);
        let (description, live, input_closed) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let turn = tokio::sync::Mutex::new(());
        Self { exec_id: exec_id.to_owned(), stdio, turn, description, live, input_closed, state }
    }

    /// Says what it is to run, an OCI `process` in JSON.
    pub fn describe(&self, process: Vec<u8>) {
        // It is described once.
        let _ = self.description.set(process);
    }

    /// What it is to run.
    pub fn description(&self) -> &[u8] {
        self.description.get().map(Vec::as_slice).unwrap_or_default()
    }

    /// Gives it what it has from now on.
    pub fn set_live(&self, live: Live) {
        if self.input_closed.get().is_some() {
            live.streams.close_input();
        }
        // It comes to be once.
        let _ = self.live.set(live);
    }

    /// What it has, if it exists.
    pub fn live(&self) -> Option<&Live> {
        self.live.get()
    }

    /// Its process id, 0 while there is none.
    pub fn pid(&self) -> u32 {
        self.live().map_or(0, |live| live.pid)
    }

    /// Whether it has ended, or never was.
    pub fn is_alive(&self) -> bool {
        self.live().is_some() && self.state().exit().is_none()
    }

    /// Its state at the moment.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Moves from one state to another, unless it ended meanwhile.
    pub fn advance(&self, from: State, to: State) {
        self.state.send_if_modified(|state| {
            let moves = *state == from;
            if moves {
                *state = to;
            }
            moves
        });
    }

    /// Notes its end; `false` if that was known.
    pub fn set_stopped(&self, status: ExitStatus) -> bool {
        self.state.send_if_modified(|state| {
            let first = state.exit().is_none();
            if first {
                *state = State::Stopped(status);
            }
            first
        })
    }

    /// Waits for its end.
    pub async fn wait(&self) -> ExitStatus {
        let mut state = self.state.subscribe();
        loop {
            if let Some(status) = state.borrow_and_update().exit() {
                return status;
            }
            if state.changed().await.is_err() {
                return ExitStatus::now(UNKNOWN);
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let Some(live) = self.live() else {
            return Err(TaskError::failed_precondition(format!("process {} was not started", self.exec_id)));
        };
        live.pidfd.send_signal(signal).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => TaskError::not_found("process already finished"),
            Some(libc::EINVAL) => TaskError::invalid(format!("there is no signal {signal}")),
            _ => TaskError::other(format!("cannot send signal {signal} to process {}: {error}", live.pid)),
        })
    }

    /// Lets its input end when its writer has gone.
    pub fn close_input(&self) {
        // Once is enough.
        let _ = self.input_closed.set(());
        if let Some(live) = self.live() {
            live.streams.close_input();
        }
    }

    /// Sets the size of its terminal's window, in characters.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        // A client that is quick to resize must not fail for it.
        let Some(live) = self.live() else { return Ok(()) };
        match live.streams.resize(width, height) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TaskError::failed_precondition(format!("process {} has no terminal", live.pid))),
            Err(error) => Err(TaskError::other(format!("cannot resize the terminal of process {}: {error}", live.pid))),
        }
    }
}
