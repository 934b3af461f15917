//! The loop: connections, requests, reports of workers, ends of children.

use std::{
    collections::HashMap,
    fs,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::PathBuf,
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use wasmedge_shim_protocol::{Channel, ContainerKey, ExitStatus, FromHost, Location, exit_code};

use super::{
    connection::Connection,
    containers::Containers,
    requests::{Caller, Job},
    worker::Worker,
};

/// Identifies a connection for as long as the host lives.
pub type ConnectionId = u64;

const LISTENER: u64 = 0;
const SIGNALS: u64 = 1;

/// How often an idle host looks for its binary, in milliseconds.
const IDLE_CHECK: u16 = 10_000;

/// The host's state. What its requests do is in `requests`.
pub struct Host {
    pub(super) location: Location,
    pub(super) containers: Containers,
    pub(super) workers: HashMap<u64, (Worker, Job)>,
    /// Deletions that wait for their container's init to be reaped.
    pub(super) deleting: Vec<(ContainerKey, Caller)>,
    connections: HashMap<ConnectionId, Connection>,
    /// Ends of children that nobody knows yet: a container can end before its worker has reported it.
    pub(super) unclaimed: HashMap<i32, ExitStatus>,
    listener: OwnedFd,
    signals: SignalFd,
    epoll: Epoll,
    next_token: u64,
    engine: (PathBuf, Option<(u64, u64)>),
    stopping: bool,
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

    /// Serves until told to end, or until it is idle and its binary has been replaced.
    pub fn run(mut self) -> Result<()> {
        while !self.stopping && !self.is_outlived() {
            let mut events = [EpollEvent::empty(); 32];
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno).context("epoll_wait"),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept(),
                    SIGNALS => self.read_signals()?,
                    token if self.workers.contains_key(&token) => self.read_worker(token),
                    token => self.serve_connection(token),
                }
            }
        }
        log::info!("engine host {} ends", std::process::id());
        Ok(())
    }

    /// How long to wait for something to happen: an idle host looks now and then whether it is still wanted.
    fn patience(&self) -> EpollTimeout {
        if self.is_idle() { IDLE_CHECK.into() } else { EpollTimeout::NONE }
    }

    fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.workers.is_empty() && self.containers.is_empty()
    }

    /// Idle, and not what is installed any more: the next shim starts a host of the new version.
    fn is_outlived(&self) -> bool {
        self.is_idle() && identity_of(&self.engine.0) != self.engine.1
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    fn accept(&mut self) {
        let channel = match Channel::accept(&self.listener) {
            Ok(channel) => channel,
            Err(wasmedge_shim_protocol::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(error) => return log::warn!("connection refused: {error}"),
        };
        let id = self.token();
        match self.epoll.add(&channel, EpollEvent::new(EpollFlags::EPOLLIN, id)) {
            Ok(()) => drop(self.connections.insert(id, Connection::new(channel))),
            Err(errno) => log::warn!("cannot watch a connection: {errno}"),
        }
    }

    fn serve_connection(&mut self, id: ConnectionId) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let received = connection.flush().and_then(|()| connection.receive());
            match received {
                Ok(Some((message, fds))) => self.handle(id, message, fds),
                Ok(None) => break,
                Err(error) => {
                    log::debug!("connection {id}: {error:#}");
                    // The containers stay: their shim may have been killed and is cleaned up after.
                    drop(self.connections.remove(&id));
                    return;
                }
            }
        }
        self.watch_for_room(id);
    }

    /// Whether the shim is still there.
    pub(super) fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Sends to a shim that may be gone.
    pub(super) fn send(
        &mut self,
        id: ConnectionId,
        message: FromHost,
        pidfd: Option<std::rc::Rc<wasmedge_shim_protocol::Pidfd>>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(error) = connection.send(message, pidfd) {
            log::warn!("connection {id} is given up: {error:#}");
            drop(self.connections.remove(&id));
            return;
        }
        self.watch_for_room(id);
    }

    fn watch_for_room(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, connection.is_congested());
        if let Err(errno) = self.epoll.modify(connection.channel(), &mut EpollEvent::new(interest, id)) {
            log::warn!("cannot watch connection {id}: {errno}");
        }
    }

    fn read_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.read_signal()? {
            match signal.ssi_signo.cast_signed() {
                libc::SIGCHLD => self.reap(),
                number => {
                    log::info!("signal {number}");
                    self.stopping = true;
                }
            }
        }
        Ok(())
    }

    /// Collects every child that has ended: inits, workers, libcontainer's intermediate processes.
    fn reap(&mut self) {
        loop {
            let mut wait_status = 0;
            // SAFETY: writes one integer. Not nix's waitpid, which fails on signals it has no name for.
            let pid = unsafe { libc::waitpid(-1, &raw mut wait_status, libc::WNOHANG) };
            if pid <= 0 {
                return;
            }
            let status = ExitStatus::now(exit_code(wait_status));
            if let Some((exit, owner)) = self.containers.exited(pid, status) {
                let key = exit.key.clone();
                self.send(owner, FromHost::Exited(exit), None);
                self.init_ended(&key);
            } else if let Some(token) = self.worker_of(pid) {
                // A worker that has done its work reported before it ended.
                self.read_worker(token);
                self.worker_died(token);
            } else if !self.workers.is_empty() {
                self.unclaimed.insert(pid, status);
            }
        }
    }

    fn worker_of(&self, pid: i32) -> Option<u64> {
        self.workers.iter().find(|(_, (worker, _))| worker.pid.as_raw() == pid).map(|(token, _)| *token)
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
