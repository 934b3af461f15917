//! Errors, as containerd understands them: ttrpc status codes are gRPC's, which containerd's `errdefs` are made from.

use containerd_shim::protos::ttrpc::{self, Code};
use wasmedge_shim_protocol::{Failure, FailureKind};

/// An RPC's failure: the code for containerd, one line for people.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    code: Code,
    message: String,
}

/// Shorthand for this crate's RPC results.
pub type Result<T> = std::result::Result<T, TaskError>;

impl TaskError {
    /// No such container or process.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self { code: Code::NOT_FOUND, message: message.into() }
    }

    /// It exists already.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self { code: Code::ALREADY_EXISTS, message: message.into() }
    }

    /// The request, the spec or an option is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::INVALID_ARGUMENT, message: message.into() }
    }

    /// The container's state does not allow it.
    pub fn failed_precondition(message: impl Into<String>) -> Self {
        Self { code: Code::FAILED_PRECONDITION, message: message.into() }
    }

    /// This runtime does not do that.
    pub fn unimplemented(message: impl Into<String>) -> Self {
        Self { code: Code::UNIMPLEMENTED, message: message.into() }
    }

    /// Not now; the same may be possible later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: Code::UNAVAILABLE, message: message.into() }
    }

    /// Anything else.
    pub fn other(message: impl Into<String>) -> Self {
        Self { code: Code::UNKNOWN, message: message.into() }
    }
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> Self {
        let code = match failure.kind {
            FailureKind::NotFound => Code::NOT_FOUND,
            FailureKind::AlreadyExists => Code::ALREADY_EXISTS,
            FailureKind::InvalidArgument => Code::INVALID_ARGUMENT,
            FailureKind::FailedPrecondition => Code::FAILED_PRECONDITION,
            // What runc's shim answers for anything that went wrong in the runtime.
            FailureKind::Internal => Code::UNKNOWN,
        };
        Self { code, message: failure.message }
    }
}

impl From<containerd_shim::Error> for TaskError {
    fn from(error: containerd_shim::Error) -> Self {
        Self::other(error.to_string())
    }
}

impl From<TaskError> for ttrpc::Error {
    fn from(error: TaskError) -> Self {
        ttrpc::Error::RpcStatus(ttrpc::get_status(error.code, error.message))
    }
}
