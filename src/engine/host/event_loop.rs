//! The loop: connections, requests, reports of workers, ends of children.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::epoll::{EpollEvent, EpollFlags, EpollTimeout},
};
use wasmedge_shim_protocol::ExitStatus;

use super::{
    child,
    connection::{Connection, ConnectionId},
    deletions::KILLED,
    listener::Arrival,
    state::Host,
    watch::Watched,
};

/// How often an idle host looks for its binary.
const IDLE_CHECK: Duration = Duration::from_secs(10);

/// How long to wait before signals that could not be read are tried again.
const SIGNALS: Duration = Duration::from_millis(10);

impl Host {
    /// Serves until told to end, or until it is idle and its binary has been replaced.
    pub fn run(mut self) -> Result<()> {
        let mut withdrawn = false;
        while !self.stopping {
            self.renew_if_due();
            let leaves = !withdrawn && self.is_outlived();
            if leaves {
                // Nobody new comes from now on; who has come already is served.
                self.listener.withdraw();
                withdrawn = true;
            } else if withdrawn && self.is_idle() {
                break;
            }
            let mut events = [EpollEvent::empty(); 32];
            let patience = if leaves { EpollTimeout::ZERO } else { self.patience() };
            let count = match self.epoll.wait(&mut events, patience) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno).context("epoll_wait"),
            };
            for event in &events[..count] {
                match Watched::of(event.data()) {
                    Watched::Listener => self.accept(),
                    Watched::Signals => self.read_signals(),
                    Watched::Connection(id) => self.serve_connection(id),
                    Watched::Report(id) => self.read_worker(id),
                    Watched::Worker(id) => self.worker_ended(id),
                    Watched::Process(pid) => drop(self.process_ended(pid)),
                    Watched::Metrics(number) => self.serve_metrics(number),
                }
            }
            self.look_at_the_clock();
        }
        self.listener.withdraw();
        self.telling.withdraw();
        log::info!("engine host {} ends", std::process::id());
        Ok(())
    }

    /// How long to wait for something to happen: until the next deadline; an idle host looks now and then whether it is
    /// still wanted.
    fn patience(&self) -> EpollTimeout {
        let deadlines = self.workers.values().map(|work| work.deadline);
        let next = deadlines
            .chain(self.deleting.iter().map(|(_, _, until)| *until))
            .chain(self.listener.paused_until())
            .chain(self.telling.due());
        let idle = self.is_idle().then(|| Instant::now() + IDLE_CHECK);
        let Some(next) = next.chain(idle).min() else { return EpollTimeout::NONE };
        // Rounded up, lest it wakes up just before.
        let wait = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
    }

    /// What is due by now.
    fn look_at_the_clock(&mut self) {
        if self.listener.resumes() {
            self.listen(true);
        }
        self.end_the_late();
        self.stop_waiting_for_inits();
        self.hear_of_metrics();
        if std::mem::take(&mut self.unsettled) {
            self.end_strays();
            self.reap();
        }
    }

    fn accept(&mut self) {
        let channel = match self.listener.accept() {
            Arrival::Shim(channel) => channel,
            Arrival::Nobody => return,
            Arrival::NoRoom => return self.listen(false),
        };
        let id = self.token();
        match self.epoll.add(&channel, EpollEvent::new(EpollFlags::EPOLLIN, Watched::Connection(id).token())) {
            Ok(()) => drop(self.connections.insert(id, Connection::new(channel))),
            Err(errno) => log::warn!("cannot watch a connection: {errno}"),
        }
    }

    /// Whether to hear of new connections.
    fn listen(&self, on: bool) {
        let interest = if on { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(interest, Watched::Listener.token());
        if let Err(errno) = self.epoll.modify(self.listener.socket(), &mut event) {
            log::warn!("cannot watch the socket for new connections: {errno}");
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
                    log::debug!("{}: {error:#}", self.connection_of(id));
                    // The containers stay: their shim may have been killed and is cleaned up after.
                    drop(self.connections.remove(&id));
                    return;
                }
            }
        }
        self.watch_for_room(id);
    }

    fn read_signals(&mut self) {
        loop {
            match self.signals.read_signal().map(|signal| signal.map(|signal| signal.ssi_signo.cast_signed())) {
                Ok(None) => return,
                Ok(Some(libc::SIGCHLD)) => self.reap(),
                Ok(Some(number)) => {
                    log::info!("signal {number}");
                    self.stopping = true;
                }
                Err(errno) => {
                    // The containers of the whole node are worth more than one signal, which stays to be read.
                    log::warn!("cannot read a signal: {errno}");
                    sleep(SIGNALS);
                    return;
                }
            }
        }
    }

    /// Collects children that have ended and that nobody watches: helpers of libcontainer's, and what a failed worker has
    /// left. One that a worker which still runs may have made is left for it: its report is about to come.
    pub(super) fn reap(&mut self) {
        while let Some(pid) = child::next_ended() {
            if let Some(id) = self.worker_of(pid) {
                self.worker_ended(id);
            } else if !self.containers.has_process(pid) && self.may_be_reported(pid) {
                return;
            } else {
                self.bury(pid);
            }
        }
    }

    /// Takes the end of a child, whatever it was.
    pub(super) fn bury(&mut self, pid: i32) {
        if !self.process_ended(pid) {
            child::bury(pid);
        }
    }

    /// Takes the end of a process of a container; whether it had ended.
    fn process_ended(&mut self, pid: i32) -> bool {
        let Some(pidfd) = self.containers.pidfd(pid) else { return false };
        let status = match child::reap(pidfd) {
            Ok(None) => return false,
            Ok(Some(status)) => status,
            Err(error) => {
                log::warn!("process {pid} of {} has ended, it is not known how: {error}", self.process_of(pid));
                pidfd.exit_status().unwrap_or_else(|| ExitStatus::now(KILLED))
            }
        };
        // Copies of the descriptor are elsewhere, so that closing it here would not be enough.
        let _ = self.epoll.delete(pidfd);
        if let Some((exit, owner, was_init)) = self.containers.ended(pid, status) {
            let key = exit.key.clone();
            if was_init {
                self.count_end(&key, status);
            }
            if let Some(end) = self.connections.get(&owner).map(|connection| connection.end(exit)) {
                self.send(owner, end, Vec::new());
            }
            if was_init {
                self.init_ended(&key);
            }
        }
        true
    }
}
