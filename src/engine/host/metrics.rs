//! Metrics: what the host tells of itself, and where whoever asks for them is answered.
//!
//! The host reads no byte of a request. It takes the connection, and a worker does the rest, which ends with it; so the number
//! of workers, their time and how often one is made have bounds, beyond which askers wait in the socket's queue.

use std::{
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    time::{Duration, Instant, SystemTime},
};

use anyhow::ensure;
use nix::sys::{
    epoll::{EpollEvent, EpollFlags},
    socket::{SockFlag, accept4},
};
use wasmedge_shim_protocol::{ContainerKey, ExitStatus, Export, Failure, MetricsAddress, Reply};

use super::{
    deletions::KILLED,
    endpoint::Endpoint,
    job::{Caller, Job},
    state::Host,
    watch::Watched,
    worker::Worker,
};
use crate::{
    metrics::{self, Answer, Counts, HostReport, Node, Workers},
    sandbox::oom_kills,
    traces, wasm,
};

/// Most addresses of one host.
const MOST_ADDRESSES: usize = 4;

/// Most workers at once that answer.
const MOST_WORKERS: usize = 4;

/// The time between two answers, at least.
const PAUSE: Duration = Duration::from_millis(100);

/// How long such a worker may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How soon an address that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Environment variable with the addresses that a renewed host listens at.
const ADDRESSES: &str = "WASMEDGE_ENGINE_METRICS";

/// Where this host's metrics are, and what it counts.
pub struct Telling {
    endpoints: Vec<Endpoint>,
    /// The address that could not be had, and when that was tried.
    refused: Option<(MetricsAddress, Instant)>,
    /// Nobody is taken before.
    paused_until: Option<Instant>,
    /// Whether connections are heard of.
    listening: bool,
    started: SystemTime,
    /// What this host has done.
    pub counts: Counts,
}

impl Default for Telling {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            refused: None,
            paused_until: None,
            listening: true,
            started: SystemTime::now(),
            counts: Counts::default(),
        }
    }
}

impl Telling {
    /// When to look at it again.
    pub fn due(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Removes the sockets' files that are still this host's.
    pub fn withdraw(&self) {
        for endpoint in &self.endpoints {
            endpoint.withdraw();
        }
    }

    /// What a host that begins anew is told.
    pub fn environment(&self) -> Option<(&'static str, String)> {
        let addresses: Vec<String> = self.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
        (!addresses.is_empty()).then(|| (ADDRESSES, addresses.join("\n")))
    }
}

impl Host {
    /// Listens where the host before this one, in the same process, has listened.
    pub(super) fn expose_as_before(&mut self) {
        let Ok(addresses) = std::env::var(ADDRESSES) else { return };
        // SAFETY: the process has one thread.
        unsafe { std::env::remove_var(ADDRESSES) };
        for address in addresses.lines().filter_map(|address| address.parse().ok()) {
            self.expose(&address);
        }
    }

    /// Listens at `address` unless this host does already. What cannot be had costs a message, and is tried again with a later
    /// container.
    pub(super) fn expose(&mut self, address: &MetricsAddress) {
        let telling = &mut self.telling;
        let known = telling.endpoints.iter().any(|endpoint| endpoint.address == *address);
        let tried = telling.refused.as_ref().is_some_and(|(one, when)| one == address && when.elapsed() < AGAIN);
        if known || tried {
            return;
        }
        let number = telling.endpoints.len();
        let exposed = one_more(number).and_then(|()| Endpoint::open(address)).and_then(|endpoint| {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, Watched::Metrics(number as u64).token());
            self.epoll.add(&endpoint.socket, event)?;
            telling.endpoints.push(endpoint);
            Ok(())
        });
        match exposed {
            Ok(()) => log::info!("metrics are at {address}"),
            Err(error) => {
                log::warn!("no metrics at {address}: {error:#}");
                telling.refused = Some((address.clone(), Instant::now()));
            }
        }
    }

    /// Takes a connection and lets a worker answer.
    pub(super) fn serve_metrics(&mut self, number: u64) {
        let endpoint = usize::try_from(number).ok().and_then(|number| self.telling.endpoints.get(number));
        let Some(endpoint) = endpoint else { return };
        let accepted = accept4(endpoint.socket.as_raw_fd(), SockFlag::SOCK_CLOEXEC);
        self.telling.paused_until = Some(Instant::now() + PAUSE);
        self.hear_of_metrics();
        // SAFETY: accept4 returned a new descriptor that nobody else owns.
        let Ok(connection) = accepted.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }) else { return };
        let (report, location, own) = (self.report(), &self.location, self.listener.path());
        let work = || {
            let connection = connection.try_clone().map_err(|error| Failure::internal(error.to_string()))?;
            let answered = metrics::serve(connection, || {
                let asked = metrics::ask_all(location, Some(own), "metrics");
                let reports = asked.into_iter().filter_map(|answer| match answer {
                    Ok(Answer::Report(report)) => Some(*report),
                    // Of an older version, or stopped: what others have to say is said.
                    Ok(Answer::Silent(..)) | Err(_) => None,
                });
                let mut hosts = vec![report];
                hosts.extend(reports);
                metrics::exposition(&hosts, &Node::look(location))
            });
            answered.map_err(|error| Failure::internal(error.to_string()))?;
            Ok((Reply::Reported(String::new()), Vec::new()))
        };
        let worker = Worker::spawn(None, &self.confinement, &[connection.as_fd()], work).map_err(anyhow::Error::from);
        if let Err(error) =
            worker.and_then(|worker| self.add_worker(worker, Job::Telling("telling metrics"), "", LIMIT))
        {
            log::warn!("no metrics for who asks: {error:#}");
        }
    }

    /// Whether there may be one more worker that tells of the host.
    fn may_tell(&self) -> bool {
        self.workers.values().filter(|work| work.tells).count() < MOST_WORKERS
    }

    /// Lets a worker send a span of the shim's, and those that belong to it, to whoever collects them. What is too much is not sent.
    pub(super) fn export(&mut self, caller: Caller, export: &Export) {
        self.reply(caller, Ok(Reply::Reported(String::new())), Vec::new());
        if !self.may_tell() {
            return log::debug!("spans of {} are not sent: there are too many", self.called(&export.key));
        }
        let (about, location) = (self.called(&export.key), &self.location);
        let stages = self.containers.get(&export.key).and_then(|container| container.stages.clone());
        let work = || {
            if let Err(error) = traces::send(location, export, &stages.unwrap_or_default()) {
                log::warn!("{error:#}");
            }
            Ok((Reply::Reported(String::new()), Vec::new()))
        };
        let worker = Worker::spawn(Some(&about), &self.confinement, &[], work).map_err(anyhow::Error::from);
        let job = Job::Telling("sending spans of");
        if let Err(error) = worker.and_then(|worker| self.add_worker(worker, job, &about, LIMIT)) {
            log::warn!("spans of {about} are not sent: {error:#}");
        }
    }

    /// Hears of connections again, or not, as the bounds have it.
    pub(super) fn hear_of_metrics(&mut self) {
        let now = Instant::now();
        self.telling.paused_until.take_if(|until| *until <= now);
        let listening = self.telling.paused_until.is_none() && self.may_tell();
        if listening == self.telling.listening {
            return;
        }
        self.telling.listening = listening;
        let interest = if listening { EpollFlags::EPOLLIN } else { EpollFlags::empty() };
        for (number, endpoint) in self.telling.endpoints.iter().enumerate() {
            let mut event = EpollEvent::new(interest, Watched::Metrics(number as u64).token());
            if let Err(errno) = self.epoll.modify(&endpoint.socket, &mut event) {
                log::warn!("cannot watch for who wants metrics: {errno}");
            }
        }
    }

    /// Answers who asks by a shim's way.
    pub(super) fn tell(&mut self, caller: Caller) {
        let text = serde_json::to_string(&self.report());
        let outcome = text.map(Reply::Reported).map_err(|error| Failure::internal(error.to_string()));
        self.reply(caller, outcome, Vec::new());
    }

    /// Counts the end of a container's init.
    pub(super) fn count_end(&mut self, key: &ContainerKey, status: ExitStatus) {
        // What the kernel has killed says nothing.
        let killed = || {
            let cgroups = self.containers.get(key).map(|container| container.cgroups.as_slice());
            status.code == KILLED && oom_kills(cgroups.unwrap_or_default()) > 0
        };
        if status.out_of_memory || killed() {
            self.telling.counts.oom_killed += 1;
        }
    }

    fn report(&self) -> HostReport {
        let started = self.telling.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        HostReport {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wasmedge: wasm::version(),
            engine: self.engine().display().to_string(),
            started_unix_millis: u64::try_from(started.as_millis()).unwrap_or(u64::MAX),
            // Who asks by a shim's way is none.
            shims: self.containers.owners(),
            containers: self.containers.count(),
            workers: self.working(),
            patience_seconds: self.patience.as_secs(),
            metrics: self.telling.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect(),
            counts: self.telling.counts.clone(),
        }
    }

    fn working(&self) -> Workers {
        let mut workers = Workers::default();
        for work in self.workers.values() {
            match &work.job {
                Some(Job::Create(..)) => workers.creating += 1,
                Some(Job::Exec(..)) => workers.executing += 1,
                Some(Job::Delete(..)) => workers.deleting += 1,
                Some(Job::Short(..)) => workers.other += 1,
                // One that has reported is about to end.
                Some(Job::Telling(_)) | None => continue,
            }
            workers.waiting += usize::from(work.worker.waits_for_compiler());
        }
        workers
    }
}

/// Asked before a socket is made: that would take another host's place.
fn one_more(number: usize) -> anyhow::Result<()> {
    ensure!(number < MOST_ADDRESSES, "this host has {MOST_ADDRESSES} addresses already");
    Ok(())
}
