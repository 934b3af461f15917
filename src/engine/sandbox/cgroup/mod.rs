//! A container's cgroups: where they are, what is written to them, what the container sees of them.

mod birth;
mod directories;
pub mod files;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
pub mod mount;
mod place;
pub mod resources;
pub mod systemd;
mod v1;

pub use birth::{Birth, may_arrive_later};
pub use directories::{directories_of, join, join_the_rest, own_membership, remove, wait_for_helpers};
pub use place::Place;
