//! The end-to-end tests. Each module is an area, each test's name says what is true.
#![allow(missing_docs)]

mod aot;
mod artifacts;
mod containerd;
mod cri;
mod docker;
mod engine;
mod errors;
mod install;
mod parity;
mod security;
