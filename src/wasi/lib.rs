//! WASI for a module in a container: a thin translation to the system calls of the process that the module runs in.
//!
//! The container is the sandbox. Its root is the guest's root, so a path is the kernel's to resolve: links, `..`, mounts
//! and permissions are what they are for a Linux program beside it. Only a directory that its container's author walls
//! in ([`Reach`]) holds the guest back, and there too it is the kernel that does, by openat2(2).
//!
//! It knows no engine. Guest memory is bytes ([`Memory`]), the descriptors of the guest are a [`Table`] of its own, and
//! [`preview1`] is the one place that knows how a guest says what it wants; [`system`] is what is then done.

mod descriptor;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod memory;
pub mod preview1;
mod rights;
pub mod system;
mod table;
mod world;

pub use descriptor::{Descriptor, Preopen, Twin};
pub use memory::Memory;
pub use rights::Rights;
pub use system::path::Reach;
pub use table::Table;
pub use world::Wasi;
