//! The containers that this host made and that are not deleted yet.

use std::collections::HashMap;

use wasmedge_shim_protocol::{ContainerKey, Exit, ExitStatus, Pidfd};

use super::connection::ConnectionId;

/// A container's init, living or dead.
pub struct Container {
    /// Its process id.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: Pidfd,
    /// How it ended, once it has.
    pub status: Option<ExitStatus>,
    /// The shim to tell of its end.
    pub owner: ConnectionId,
    /// Its start takes longer than the host may.
    pub late_hooks: bool,
}

/// A process of a container.
struct Member {
    key: ContainerKey,
    /// Whom to tell of its end, where that is not the container's owner.
    owner: Option<ConnectionId>,
}

/// All of them, by name and by process.
#[derive(Default)]
pub struct Containers {
    by_key: HashMap<ContainerKey, Container>,
    by_pid: HashMap<i32, Member>,
}

impl Containers {
    /// Adds a container that was just made.
    pub fn insert(&mut self, key: ContainerKey, container: Container) {
        self.by_pid.insert(container.pid, Member { key: key.clone(), owner: None });
        self.by_key.insert(key, container);
    }

    /// Adds another program's process; its end is told to `owner`. The container may be that of an earlier host.
    pub fn insert_program(&mut self, key: ContainerKey, pid: i32, owner: ConnectionId) {
        self.by_pid.insert(pid, Member { key, owner: Some(owner) });
    }

    /// The container called `key`.
    pub fn get(&self, key: &ContainerKey) -> Option<&Container> {
        self.by_key.get(key)
    }

    /// Names of the containers that the shim on this connection made.
    pub fn owned_by(&self, owner: ConnectionId) -> Vec<ContainerKey> {
        self.by_key.iter().filter(|(_, container)| container.owner == owner).map(|(key, _)| key.clone()).collect()
    }

    /// Takes out a container.
    pub fn remove(&mut self, key: &ContainerKey) -> Option<Container> {
        let container = self.by_key.remove(key)?;
        self.by_pid.remove(&container.pid);
        Some(container)
    }

    /// Notes the end of process `pid`; the exit, whom to tell and whether it was an init, if it was one of theirs.
    pub fn exited(&mut self, pid: i32, status: ExitStatus) -> Option<(Exit, ConnectionId, bool)> {
        // The id may soon be another process's.
        let Member { key, owner } = self.by_pid.remove(&pid)?;
        let owner = match owner {
            Some(owner) => (owner, false),
            None => {
                let container = self.by_key.get_mut(&key)?;
                container.status = Some(status);
                (container.owner, true)
            }
        };
        Some((Exit { key, pid: pid.unsigned_abs(), status }, owner.0, owner.1))
    }

    /// Whether `pid` is a known process of a container.
    pub fn has_process(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// Whether there is neither a container nor a process in one.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.by_pid.is_empty()
    }
}
