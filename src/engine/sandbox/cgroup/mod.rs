//! A container's cgroups: where they are, what is written to them, what the container sees of them.

mod birth;
mod directories;
pub mod files;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod kill;
pub mod mount;
mod oom;
mod place;
mod removal;
pub mod resources;
pub mod systemd;
mod v1;
mod workers;

pub use birth::{Birth, may_arrive_later};
pub use directories::{Mounted, directories_of, join, join_the_rest, wait_for_helpers};
pub use kill::{kill_all, thaw};
pub use oom::{Kills, count as oom_kills};
pub use place::Place;
pub use removal::remove;
pub use workers::WorkersCgroup;
