//! The containers of this shim, as containerd's task API sees them.

mod lifecycle;
mod service;
mod state;
mod tasks;

pub use service::TaskService;
pub use tasks::ABANDONED;
