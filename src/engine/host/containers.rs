//! The containers that this host made and that are not deleted yet.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
};

use wasmedge_shim_protocol::{ContainerKey, Exit, ExitStatus, Pidfd, PodName};

use super::connection::ConnectionId;
use crate::noted::Stages;

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
    /// The cgroups that were made for it.
    pub cgroups: Vec<PathBuf>,
    /// What Kubernetes calls it, as far as its shim knows.
    pub pod: Option<PodName>,
    /// The stages of its creation, where they are traced.
    pub stages: Option<Stages>,
    /// Its start takes longer than the host may.
    pub late_hooks: bool,
}

/// A process of a container that has not been reaped.
enum Member {
    /// The container's init.
    Init(ContainerKey),
    /// Another program, and whom to tell of its end.
    Program(ContainerKey, Pidfd, ConnectionId),
}

/// All of them, by name and by process. An id is one of theirs until the process is reaped, and not longer.
#[derive(Default)]
pub struct Containers {
    by_key: HashMap<ContainerKey, Container>,
    by_pid: HashMap<i32, Member>,
}

impl Containers {
    /// Adds a container that was just made, or one whose deletion failed.
    pub fn insert(&mut self, key: ContainerKey, container: Container) {
        if container.status.is_none() {
            self.by_pid.insert(container.pid, Member::Init(key.clone()));
        }
        self.by_key.insert(key, container);
    }

    /// Adds another program's process; its end is told to `owner`. The container may be that of an earlier host.
    pub fn insert_program(&mut self, key: ContainerKey, pid: i32, pidfd: Pidfd, owner: ConnectionId) {
        self.by_pid.insert(pid, Member::Program(key, pidfd, owner));
    }

    /// The container called `key`.
    pub fn get(&self, key: &ContainerKey) -> Option<&Container> {
        self.by_key.get(key)
    }

    /// Names of the containers that the shim on this connection made.
    pub fn owned_by(&self, owner: ConnectionId) -> Vec<ContainerKey> {
        self.by_key.iter().filter(|(_, container)| container.owner == owner).map(|(key, _)| key.clone()).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    /// How many shims made them.
    pub fn owners(&self) -> usize {
        self.by_key.values().map(|container| container.owner).collect::<HashSet<_>>().len()
    }

    /// The container of the process `pid`, if it is one of theirs.
    pub fn key_of(&self, pid: i32) -> Option<&ContainerKey> {
        match self.by_pid.get(&pid)? {
            Member::Init(key) | Member::Program(key, ..) => Some(key),
        }
    }

    /// Takes out a container.
    pub fn remove(&mut self, key: &ContainerKey) -> Option<Container> {
        let container = self.by_key.remove(key)?;
        // The id of one that has ended may be another process's by now.
        if container.status.is_none() {
            self.by_pid.remove(&container.pid);
        }
        Some(container)
    }

    /// The descriptor of the process `pid`, if it is one of theirs.
    pub fn pidfd(&self, pid: i32) -> Option<&Pidfd> {
        match self.by_pid.get(&pid)? {
            Member::Init(key) => self.by_key.get(key).map(|container| &container.pidfd),
            Member::Program(_, pidfd, _) => Some(pidfd),
        }
    }

    /// Notes the end of process `pid`, which was reaped; the exit, whom to tell and whether it was an init.
    pub fn ended(&mut self, pid: i32, status: ExitStatus) -> Option<(Exit, ConnectionId, bool)> {
        let exit = |key| Exit { key, pid: pid.unsigned_abs(), status };
        match self.by_pid.remove(&pid)? {
            Member::Init(key) => {
                let container = self.by_key.get_mut(&key)?;
                container.status = Some(status);
                Some((exit(key), container.owner, true))
            }
            Member::Program(key, _, owner) => Some((exit(key), owner, false)),
        }
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
