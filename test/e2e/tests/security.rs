//! The security rules, each broken once on purpose or looked at in a live container.

mod cell;
mod compiler;
mod devices;
mod escapes;
mod exec;
mod guest_files;
mod hidden;
mod host;
mod images;
mod memory;
mod newborn;
mod process;
mod sockets;
mod spec;
mod zygote;
