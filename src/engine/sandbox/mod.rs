//! Making and removing containers: root filesystem, spec, libcontainer, cgroups, state on disk. Runs in the host's
//! throw-away workers, since libcontainer changes the process that calls it.

mod artifact;
mod by_hand;
mod cgroup;
mod check;
mod child;
mod console;
mod create;
mod delete;
mod devices;
mod exec;
mod handover;
mod hooks;
mod launch;
mod lookup;
mod mounts;
mod namespaces;
mod native_code;
mod plugins;
mod settings;
mod sibling;
mod start;
mod state;
mod translate;
mod update;
mod userns;

pub use cgroup::join as join_cgroups_of;
pub use create::create;
pub use delete::delete;
pub use exec::exec;
pub use lookup::open_below;
pub use mounts::rootfs::{mount_all as mount_rootfs, unmount as unmount_rootfs};
pub use start::{start, start_with_hooks};
pub use update::update;
