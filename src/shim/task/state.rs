//! Where a process is in its life. Every verb asks here first.

use containerd_shim::api::Status;
use wasmedge_shim_protocol::ExitStatus;

use crate::error::{Result, TaskError};

/// The states between creation and deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// An init whose sandbox stands and whose entrypoint waits, or another program that is only known by its
    /// description.
    Created,
    /// The program runs.
    Running,
    /// It is frozen, with all of its container.
    Paused,
    /// It ended.
    Stopped(ExitStatus),
}

impl State {
    /// Whether `start` is possible.
    pub fn check_start(self) -> Result<()> {
        match self {
            Self::Created => Ok(()),
            Self::Running => Err(TaskError::failed_precondition("cannot start a running process")),
            Self::Paused => Err(TaskError::failed_precondition("cannot start a paused process")),
            Self::Stopped(_) => Err(TaskError::failed_precondition("cannot start a stopped process")),
        }
    }

    /// Whether `kill` is possible.
    pub fn check_kill(self) -> Result<()> {
        match self {
            Self::Created | Self::Running | Self::Paused => Ok(()),
            Self::Stopped(_) => Err(TaskError::not_found("process already finished")),
        }
    }

    /// Whether `delete` is possible.
    pub fn check_delete(self) -> Result<()> {
        match self {
            Self::Created | Self::Stopped(_) => Ok(()),
            Self::Running => Err(TaskError::failed_precondition("cannot delete a running process")),
            Self::Paused => Err(TaskError::failed_precondition("cannot delete a paused process")),
        }
    }

    /// Whether another program can be run in a container whose init is in this state.
    pub fn check_exec(self) -> Result<()> {
        match self {
            Self::Created | Self::Running => Ok(()),
            Self::Paused => Err(TaskError::failed_precondition("cannot exec in a paused container")),
            Self::Stopped(_) => Err(TaskError::failed_precondition("cannot exec in a stopped container")),
        }
    }

    /// Whether `pause` is possible.
    pub fn check_pause(self) -> Result<()> {
        match self {
            Self::Running => Ok(()),
            Self::Created => Err(TaskError::failed_precondition("cannot pause a container that was not started")),
            Self::Paused => Err(TaskError::failed_precondition("cannot pause a paused container")),
            Self::Stopped(_) => Err(TaskError::failed_precondition("cannot pause a stopped container")),
        }
    }

    /// Whether `resume` is possible.
    pub fn check_resume(self) -> Result<()> {
        match self {
            Self::Paused => Ok(()),
            Self::Created | Self::Running => Err(TaskError::failed_precondition("the container is not paused")),
            Self::Stopped(_) => Err(TaskError::failed_precondition("cannot resume a stopped container")),
        }
    }

    /// How it ended, once it has.
    pub fn exit(self) -> Option<ExitStatus> {
        match self {
            Self::Stopped(status) => Some(status),
            Self::Created | Self::Running | Self::Paused => None,
        }
    }

    /// In containerd's words.
    pub fn status(self) -> Status {
        match self {
            Self::Created => Status::CREATED,
            Self::Running => Status::RUNNING,
            Self::Paused => Status::PAUSED,
            Self::Stopped(_) => Status::STOPPED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPPED: State = State::Stopped(ExitStatus { code: 3, at_unix_nanos: 0, out_of_memory: false });

    /// In which states a verb is possible.
    fn possible(check: fn(State) -> Result<()>) -> Vec<State> {
        let states = [State::Created, State::Running, State::Paused, STOPPED];
        states.into_iter().filter(|state| check(*state).is_ok()).collect()
    }

    #[test]
    fn a_process_starts_once() {
        assert_eq!(possible(State::check_start), [State::Created]);
    }

    #[test]
    fn a_process_is_killed_until_it_has_ended() {
        assert_eq!(possible(State::check_kill), [State::Created, State::Running, State::Paused]);
        assert_eq!(STOPPED.check_kill().unwrap_err().to_string(), "process already finished");
    }

    #[test]
    fn a_process_is_deleted_unless_it_is_alive() {
        assert_eq!(possible(State::check_delete), [State::Created, STOPPED]);
    }

    #[test]
    fn programs_are_run_in_living_containers_only() {
        assert_eq!(possible(State::check_exec), [State::Created, State::Running]);
    }

    #[test]
    fn only_what_runs_is_paused_and_only_that_resumed() {
        assert_eq!(possible(State::check_pause), [State::Running]);
        assert_eq!(possible(State::check_resume), [State::Paused]);
    }
}
