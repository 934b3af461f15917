//! What is known of processes that dead workers may have left.

use wasmedge_shim_protocol::ContainerKey;

/// Processes that a dead worker has left in a container's cgroups.
pub struct Left {
    /// The container.
    pub(super) key: ContainerKey,
    /// The `/proc/PID/cgroup` of the container's init.
    pub(super) cgroups: String,
    /// When the worker was made and when it died, in clock ticks since boot.
    pub(super) time: (u64, u64),
}

/// What is to be looked for.
#[derive(Default)]
pub struct Strays {
    pub(super) left: Vec<Left>,
}

impl Strays {
    /// Notes that a worker that was made at `started` and has died by `died` may have left a process in these cgroups.
    pub fn expect(&mut self, key: ContainerKey, cgroups: String, started: u64, died: u64) {
        self.left.push(Left { key, cgroups, time: (started, died) });
    }
}
