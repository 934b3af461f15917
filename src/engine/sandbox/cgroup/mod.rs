//! A container's cgroups: where they are, what is written to them, what the container sees of them.

mod directories;
pub mod files;
pub mod mount;
pub mod resources;
pub mod systemd;

pub use directories::{directories_of, enter, join, join_the_rest, own_membership, remove, rest_of, wait_for_helpers};
