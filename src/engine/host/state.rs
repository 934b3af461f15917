//! The host's state, and what its parts do with it in common: watching, sending.

use std::{
    collections::HashMap,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Result;
use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use wasmedge_shim_payload::is_superseded;
use wasmedge_shim_protocol::{ContainerKey, FromHost, Location};

use super::{
    confine::Confinement,
    connection::{Connection, ConnectionId},
    containers::Containers,
    job::{Caller, Job, Work},
    left::Strays,
    listener::Listener,
    metrics::Telling,
    watch::Watched,
    worker::Worker,
};
use crate::{journal::called, sandbox::MountedCgroups};

/// All that the host knows.
pub struct Host {
    pub(super) location: Location,
    pub(super) containers: Containers,
    /// Workers that have not been reaped.
    pub(super) workers: HashMap<u64, Work>,
    /// What workers are held to.
    pub(super) confinement: Confinement,
    /// How long most of them may take.
    pub(super) patience: Duration,
    /// Deletions that wait for their container's init to be reaped, and until when.
    pub(super) deleting: Vec<(ContainerKey, Caller, Instant)>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// What dead workers may have left.
    pub(super) strays: Strays,
    /// Where metrics are, and what is counted for them.
    pub(super) telling: Telling,
    pub(super) mounted: Option<MountedCgroups>,
    pub(super) listener: Listener,
    pub(super) signals: SignalFd,
    pub(super) epoll: Epoll,
    next_token: u64,
    engine: (PathBuf, Option<String>),
    /// A worker has come to its end since it was looked what others have left.
    pub(super) unsettled: bool,
    pub(super) stopping: bool,
}

impl Host {
    /// A host that takes connections from `listener`; `engine` is the installed binary.
    pub fn new(
        location: Location,
        listener: Listener,
        engine: PathBuf,
        confinement: Confinement,
        patience: Duration,
    ) -> Result<Self> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(listener.socket(), EpollEvent::new(EpollFlags::EPOLLIN, Watched::Listener.token()))?;
        epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, Watched::Signals.token()))?;
        let identity = Location::identity(&engine).ok();
        Ok(Self {
            location,
            containers: Containers::default(),
            workers: HashMap::new(),
            confinement,
            patience,
            deleting: Vec::new(),
            connections: HashMap::new(),
            strays: Strays::default(),
            telling: Telling::default(),
            mounted: None,
            listener,
            signals,
            epoll,
            next_token: 0,
            engine: (engine, identity),
            unsettled: false,
            stopping: false,
        })
    }

    /// Whether nobody and nothing needs it at the moment.
    pub(super) fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.workers.is_empty() && self.containers.is_empty()
    }

    /// Idle, and not what is installed any more: the next shim starts a host of the new version.
    pub(super) fn is_outlived(&self) -> bool {
        let (engine, identity) = &self.engine;
        self.is_idle() && (Location::identity(engine).ok() != *identity || is_superseded(engine))
    }

    /// The installed binary.
    pub(super) fn engine(&self) -> &Path {
        &self.engine.0
    }

    /// A container's names, for the log.
    pub(super) fn called(&self, key: &ContainerKey) -> String {
        called(key, self.containers.get(key).and_then(|container| container.pod.as_ref()))
    }

    /// The container of a process, for the log.
    pub(super) fn process_of(&self, pid: i32) -> String {
        self.containers.key_of(pid).map_or_else(|| "no container".to_owned(), |key| self.called(key))
    }

    /// A shim's connection, by the containers that came by it, for the log.
    pub(super) fn connection_of(&self, id: ConnectionId) -> String {
        let first = self.containers.owned_by(id).into_iter().min();
        let of = first.map(|key| format!(" of the shim of {}", self.called(&key))).unwrap_or_default();
        format!("connection {id}{of}")
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
            log::warn!("{} is given up: {error:#}", self.connection_of(id));
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
        if let Err(errno) =
            self.epoll.modify(connection.channel(), &mut EpollEvent::new(interest, Watched::Connection(id).token()))
        {
            log::warn!("cannot watch {}: {errno}", self.connection_of(id));
        }
    }

    /// Starts watching a worker, which may take as long as `limit`.
    /// `about` are the names of what it works for.
    pub(super) fn add_worker(&mut self, worker: Worker, job: Job, about: &str, limit: Duration) -> Result<()> {
        crate::journal::keep_small();
        let id = self.token();
        let event = |watched: Watched| EpollEvent::new(EpollFlags::EPOLLIN, watched.token());
        self.epoll.add(worker.socket().as_fd(), event(Watched::Report(id)))?;
        self.epoll.add(worker.pidfd.as_fd(), event(Watched::Worker(id)))?;
        self.workers.insert(id, Work::new(worker, job, about, limit));
        Ok(())
    }

    /// Watches for the end of a process of a container.
    pub(super) fn watch_process(&self, pid: i32) {
        let Some(pidfd) = self.containers.pidfd(pid) else { return };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, Watched::Process(pid).token());
        if let Err(errno) = self.epoll.add(pidfd, event) {
            // Its end is seen by SIGCHLD, later than others'.
            log::warn!("cannot watch process {pid} of {}: {errno}", self.process_of(pid));
        }
    }
}
