//! The containers of this shim, as containerd's task API sees them.

mod container;
mod exits;
mod lifecycle;
mod process;
mod programs;
mod resources;
mod service;
mod state;
mod tasks;
mod traced;

pub use service::{Names, TaskService};
pub use tasks::ABANDONED;
