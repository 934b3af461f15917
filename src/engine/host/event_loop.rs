//! The loop: connections, requests, reports of workers, ends of children.

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::epoll::{EpollEvent, EpollFlags, EpollTimeout},
};
use wasmedge_shim_protocol::{Channel, ExitStatus, FromHost, exit_code};

use super::{
    connection::{Connection, ConnectionId},
    state::{Host, LISTENER, SIGNALS},
};

/// How often an idle host looks for its binary, in milliseconds.
const IDLE_CHECK: u16 = 10_000;

impl Host {
    /// Serves until told to end, or until it is idle and its binary has been replaced.
    pub fn run(mut self) -> Result<()> {
        while !self.stopping && !self.is_outlived() {
            self.renew_if_due();
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
            if let Some((exit, owner, was_init)) = self.containers.exited(pid, status) {
                let key = exit.key.clone();
                self.send(owner, FromHost::Exited(exit), Vec::new());
                if was_init {
                    self.init_ended(&key);
                }
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
}
