//! Where a container is in its life. Every verb asks here first.

use containerd_shim::api::Status;
use wasmedge_shim_protocol::ExitStatus;

use crate::error::{Result, TaskError};

/// The states between creation and deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The sandbox stands, the entrypoint waits.
    Created,
    /// The entrypoint runs.
    Running,
    /// It ended.
    Stopped(ExitStatus),
}

impl State {
    /// Whether `start` is possible.
    pub fn check_start(self) -> Result<()> {
        match self {
            Self::Created => Ok(()),
            Self::Running => Err(TaskError::failed_precondition("cannot start a running process")),
            Self::Stopped(_) => Err(TaskError::failed_precondition("cannot start a stopped process")),
        }
    }

    /// Whether `kill` is possible.
    pub fn check_kill(self) -> Result<()> {
        match self {
            Self::Created | Self::Running => Ok(()),
            Self::Stopped(_) => Err(TaskError::not_found("process already finished")),
        }
    }

    /// Whether `delete` is possible.
    pub fn check_delete(self) -> Result<()> {
        match self {
            Self::Created | Self::Stopped(_) => Ok(()),
            Self::Running => Err(TaskError::failed_precondition("cannot delete a running process")),
        }
    }

    /// How it ended, once it has.
    pub fn exit(self) -> Option<ExitStatus> {
        match self {
            Self::Stopped(status) => Some(status),
            Self::Created | Self::Running => None,
        }
    }

    /// In containerd's words.
    pub fn status(self) -> Status {
        match self {
            Self::Created => Status::CREATED,
            Self::Running => Status::RUNNING,
            Self::Stopped(_) => Status::STOPPED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPPED: State = State::Stopped(ExitStatus { code: 3, at_unix_nanos: 0 });

    #[test]
    fn a_container_starts_once() {
        assert!(State::Created.check_start().is_ok());
        assert!(State::Running.check_start().is_err());
        assert!(STOPPED.check_start().is_err());
    }

    #[test]
    fn a_container_is_killed_while_it_has_a_process() {
        assert!(State::Created.check_kill().is_ok());
        assert!(State::Running.check_kill().is_ok());
        assert_eq!(STOPPED.check_kill().unwrap_err().to_string(), "process already finished");
    }

    #[test]
    fn a_container_is_deleted_unless_it_runs() {
        assert!(State::Created.check_delete().is_ok());
        assert!(STOPPED.check_delete().is_ok());
        assert!(State::Running.check_delete().is_err());
    }
}
