//! The containers that this host made and that are not deleted yet.

use std::{collections::HashMap, rc::Rc};

use wasmedge_shim_protocol::{ContainerKey, Exit, ExitStatus, Pidfd};

use super::connection::ConnectionId;

/// A container's init, living or dead.
pub struct Container {
    /// Its process id.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: Rc<Pidfd>,
    /// How it ended, once it has.
    pub status: Option<ExitStatus>,
    /// The shim to tell of its end.
    pub owner: ConnectionId,
}

/// All of them, by name and by process.
#[derive(Default)]
pub struct Containers {
    by_key: HashMap<ContainerKey, Container>,
    by_pid: HashMap<i32, ContainerKey>,
}

impl Containers {
    /// Adds a container that was just made.
    pub fn insert(&mut self, key: ContainerKey, container: Container) {
        self.by_pid.insert(container.pid, key.clone());
        self.by_key.insert(key, container);
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

    /// Notes the end of process `pid`; the exit and whom to tell, if it was an init.
    pub fn exited(&mut self, pid: i32, status: ExitStatus) -> Option<(Exit, ConnectionId)> {
        // The id may soon be another process's.
        let key = self.by_pid.remove(&pid)?;
        let container = self.by_key.get_mut(&key)?;
        container.status = Some(status);
        Some((Exit { key, pid: pid.unsigned_abs(), status }, container.owner))
    }

    /// Whether `pid` is the init of a container that still runs.
    pub fn is_init(&self, pid: i32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}
