//! Inside the container: from libcontainer's sandbox, complete but for the entrypoint, to the entrypoint's last
//! instruction.

mod entrypoint;
mod executor;
mod harden;
mod native;
mod report;
mod seccomp;
mod signals;
mod world;

pub use entrypoint::{Entrypoint, resolve};
pub use executor::{GuestExecutor, Sandbox};
pub use report::{Report, Reporter, capture_errors};
pub use seccomp::prepare as prepare_seccomp;

/// Exit code of a guest that trapped: what the shell shows for a process that aborted (128 + SIGABRT).
pub const TRAP_EXIT_CODE: i32 = 134;
