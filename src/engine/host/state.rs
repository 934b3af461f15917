//! The host's state, and what its parts do with it in common: watching, sending.

use std::{
    collections::HashMap,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
};

use anyhow::Result;
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use wasmedge_shim_protocol::{ContainerKey, ExitStatus, FromHost, Location};

use super::{
    connection::{Connection, ConnectionId},
    containers::Containers,
    job::{Caller, Job},
    worker::Worker,
};

/// What the listening socket is watched as.
pub const LISTENER: u64 = 0;
/// What the signals are watched as.
pub const SIGNALS: u64 = 1;

/// All that the host knows.
pub struct Host {
    pub(super) location: Location,
    pub(super) containers: Containers,
    pub(super) workers: HashMap<u64, (Worker, Job)>,
    /// Deletions that wait for their container's init to be reaped.
    pub(super) deleting: Vec<(ContainerKey, Caller)>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// Ends of children that nobody knows yet: a container can end before its worker has reported it.
    pub(super) unclaimed: HashMap<i32, ExitStatus>,
    pub(super) listener: OwnedFd,
    pub(super) signals: SignalFd,
    pub(super) epoll: Epoll,
    next_token: u64,
    engine: (PathBuf, Option<(u64, u64)>),
    pub(super) stopping: bool,
}

impl Host {
    /// A host that takes connections from `listener`; `engine` is the installed binary.
    pub fn new(location: Location, listener: OwnedFd, engine: PathBuf) -> Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, SIGNALS))?;
        let identity = identity_of(&engine);
        Ok(Self {
            location,
            containers: Containers::default(),
            workers: HashMap::new(),
            deleting: Vec::new(),
            connections: HashMap::new(),
            unclaimed: HashMap::new(),
            listener,
            signals,
            epoll,
            next_token: 2,
            engine: (engine, identity),
            stopping: false,
        })
    }

    /// Whether nobody and nothing needs it at the moment.
    pub(super) fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.workers.is_empty() && self.containers.is_empty()
    }

    /// Idle, and not what is installed any more: the next shim starts a host of the new version.
    pub(super) fn is_outlived(&self) -> bool {
        self.is_idle() && identity_of(&self.engine.0) != self.engine.1
    }

    /// A number for the next thing to watch.
    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    /// Whether the shim is still there.
    pub(super) fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Sends to a shim that may be gone.
    pub(super) fn send(&mut self, id: ConnectionId, message: FromHost, fds: Vec<OwnedFd>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(error) = connection.send(message, fds) {
            log::warn!("connection {id} is given up: {error:#}");
            drop(self.connections.remove(&id));
            return;
        }
        self.watch_for_room(id);
    }

    /// Watches a connection for messages, and for room while some wait to be sent.
    pub(super) fn watch_for_room(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, connection.is_congested());
        if let Err(errno) = self.epoll.modify(connection.channel(), &mut EpollEvent::new(interest, id)) {
            log::warn!("cannot watch connection {id}: {errno}");
        }
    }

    /// Starts watching a worker.
    pub(super) fn add_worker(&mut self, worker: Worker, job: Job) -> Result<()> {
        let token = self.token();
        self.epoll.add(worker.socket().as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        self.workers.insert(token, (worker, job));
        Ok(())
    }
}

/// Which file is at `path`.
fn identity_of(path: &std::path::Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}
