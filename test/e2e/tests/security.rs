//! The security rules, each broken once on purpose or looked at in a live container.

mod cell;
mod compiler;
mod devices;
mod escapes;
mod exec;
mod hidden;
mod host;
mod images;
mod memory;
mod process;
mod sockets;
mod spec;
mod zygote;
