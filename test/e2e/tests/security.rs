//! The security rules, each broken once on purpose or looked at in a live container.

mod compiler;
mod escapes;
mod images;
mod memory;
mod process;
mod sockets;
