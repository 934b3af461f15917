//! Making and removing containers: root filesystem, spec, libcontainer, cgroups, state on disk. Runs in the host's
//! throw-away workers, since libcontainer changes the process that calls it.

mod after;
mod annotations;
mod artifact;
mod asking;
mod by_hand;
mod by_libcontainer;
mod cgroup;
mod check;
mod child;
mod console;
mod create;
mod delete;
mod devices;
mod exec;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod handover;
mod home;
mod hooks;
mod init;
mod launch;
mod listing;
mod lookup;
mod making;
mod mounts;
mod namespaces;
mod native_code;
mod place;
mod plan;
mod plugins;
mod pod;
mod process;
mod record;
mod settings;
mod sibling;
mod start;
mod state;
mod translate;
mod update;
mod userns;
mod workload;

pub use cgroup::{Mounted as MountedCgroups, WorkersCgroup, join as join_cgroups_of, oom_kills, thaw};
pub use create::create;
pub use delete::delete;
pub use exec::exec;
pub use listing::{containers, record};
pub use mounts::rootfs::{mount_all as mount_rootfs, unmount as unmount_rootfs};
pub use process::Init;
pub use start::{start, start_with_hooks};
pub use state::Record;
pub use update::update;
