//! The containers of this shim, as containerd's task API sees them.

mod container;
mod ending;
mod exits;
mod lifecycle;
mod process;
mod programs;
mod resources;
mod service;
mod shared;
mod state;
mod tasks;
mod traced;

pub use service::{Leave, Names, TaskService};
pub use shared::Shared;
pub use tasks::ABANDONED;
