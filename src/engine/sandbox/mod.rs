//! Making and removing containers: root filesystem, spec, libcontainer, cgroups, state on disk. Runs in the host's
//! throw-away workers, since libcontainer changes the process that calls it.

mod by_hand;
mod cgroup;
mod cgroup_mount;
mod create;
mod delete;
mod lookup;
mod mounts;
mod rootfs;
mod state;
mod translate;

pub use cgroup::join as join_cgroups_of;
pub use create::create;
pub use delete::delete;
pub use state::State;
