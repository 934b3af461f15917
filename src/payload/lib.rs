//! The engine in the shim's own file, and where it is unpacked to.
//!
//! Many ways by which a shim comes to a node copy one file and no other, to nodes that have no glibc or an older one. So a
//! released shim carries the engine, the libraries that it needs and their dynamic linker, compressed, behind what is ever
//! mapped: the shim starts as fast and takes as much memory as one without. They are unpacked once, to a directory named after
//! them, and checked before a host of them starts.

mod descriptor;
mod error;
mod interpreter;
mod manifest;
mod place;
mod store;
mod versions;

pub use descriptor::{Descriptor, MAGIC, Payload};
pub use error::{Error, Result};
pub use interpreter::ROOM;
pub use manifest::{ENGINE, Entry, LINKER, Manifest};
pub use store::{InUse, Store};
pub use versions::is_superseded;

/// The environment variable by which the dynamic linker finds the libraries that were unpacked with it (ld.so(8)).
pub const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// Where payloads are unpacked to unless an option says otherwise.
pub const DIRECTORY: &str = "/var/lib/containerd-shim-wasmedge/engine";
