//! What is done in the container, whoever asks and however: system calls, and no word of WASI's ABI.
//!
//! A call that a signal interrupted goes on: a guest has no handlers, so to a Linux program in its place the kernel would
//! restart it (signal(7)), and a container that is paused and resumed sleeps on.

pub mod clock;
mod cookies;
pub mod file;
pub mod listing;
pub mod path;
pub mod poll;
pub mod resolve;
pub mod socket;
pub mod streams;
