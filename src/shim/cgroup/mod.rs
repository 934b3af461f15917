//! A container's cgroup directories: reading them, freezing, killing, out-of-memory kills, metrics.

mod directories;
mod freezer;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod io_stats;
mod kill;
mod oom;
mod stats;

pub use directories::Cgroups;
pub use freezer::{freeze, thaw};
pub use kill::{kill_all, signal_all};
pub use oom::{Kills as OomKills, Watch as OomWatch};
pub use stats::collect as collect_stats;
