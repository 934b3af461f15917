//! The engine host, seen from the shim.

mod client;
mod command;
mod connection;
mod launch;
mod source;

pub use client::{EngineClient, Handles, no_room};
pub use command::{NAME, command};
pub use connection::Notice;
pub use launch::Launcher;
pub use source::{DEFAULT_PATH, Source};

/// How the shim introduces itself.
pub const PROGRAM: &str = concat!("containerd-shim-wasmedge-v1 ", env!("CARGO_PKG_VERSION"));

/// Environment variable with containerd's socket for events, at whose other end is containerd itself.
pub const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";
