//! What the host does for each request.

use std::{fs, io, os::fd::OwnedFd, rc::Rc};

use anyhow::Result;
use nix::{sys::signal::Signal, unistd::Pid};
use wasmedge_shim_protocol::{
    ContainerKey, Create, Deleted, Failure, FailureKind, FromHost, Outcome, Pidfd, Reply, Request, StdioPresence,
    ToHost,
};

use super::{
    connection::ConnectionId,
    containers::Container,
    job::{Caller, Job},
    state::Host,
    worker::Worker,
};
use crate::sandbox::{self, State};

impl Host {
    pub(super) fn handle(&mut self, connection: ConnectionId, message: ToHost, fds: Vec<OwnedFd>) {
        let ToHost::Request { id, request } = message else { return };
        let caller = Caller::Shim { connection, request: id };
        match request {
            Request::Create(create) => self.create(caller, create, fds),
            Request::Start(key) => {
                let outcome = self.start(&key);
                self.reply(caller, outcome, None);
            }
            Request::Delete(key) => {
                self.delete_siblings(&key);
                self.delete(caller, key);
            }
        }
    }

    fn reply(&mut self, caller: Caller, outcome: Outcome, pidfd: Option<Rc<Pidfd>>) {
        match caller {
            Caller::Shim { connection, request: id } => self.send(connection, FromHost::Reply { id, outcome }, pidfd),
            Caller::Nobody => drop(outcome.map_err(|failure| log::warn!("{failure}"))),
        }
    }

    fn create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) {
        let started = self.start_create(caller, create, fds);
        if let Err(error) = started {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), None);
        }
    }

    fn start_create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) -> Result<()> {
        let stdio = arrange_stdio(create.stdio, fds)?;
        let keep: Vec<_> = stdio.iter().map(std::os::fd::AsFd::as_fd).collect();
        let location = &self.location;
        let worker = Worker::spawn(&keep, |reporter| {
            // The worker's copies of the descriptors are its own; the host's are dropped below.
            let stdio = duplicate(&stdio).map_err(|error| Failure::internal(error.to_string()))?;
            sandbox::create(location, &create, stdio, reporter)
        })?;
        self.add_worker(worker, Job::Create(create.key, caller))
    }

    fn start(&mut self, key: &ContainerKey) -> Outcome {
        if let Some(status) = self.containers.get(key).and_then(|container| container.status) {
            let cause = format!("the init of {key} ended with code {} before it was started", status.code);
            return Err(Failure::new(FailureKind::FailedPrecondition, cause));
        }
        match State::new(&self.location, key).notify_start() {
            Ok(()) => Ok(Reply::Started),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Failure::new(FailureKind::NotFound, format!("there is no container {key}")))
            }
            Err(error) => Err(Failure::internal(format!("the init of {key} does not wait to be started: {error}"))),
        }
    }

    /// After a pod's shim that is gone containerd asks for the deletion of one container only, the one that the shim was
    /// started for. The pod's others have nobody left, either.
    fn delete_siblings(&mut self, key: &ContainerKey) {
        let Some(owner) = self.containers.get(key).map(|container| container.owner) else { return };
        if self.is_connected(owner) {
            return;
        }
        for sibling in self.containers.owned_by(owner).into_iter().filter(|sibling| sibling != key) {
            log::info!("{sibling} goes with {key}, whose shim is gone");
            self.delete(Caller::Nobody, sibling);
        }
    }

    /// Kills the init if it lives, and goes on when it has been reaped; see `init_ended`.
    fn delete(&mut self, caller: Caller, key: ContainerKey) {
        match self.containers.get(&key) {
            Some(container) if container.status.is_none() => {
                if let Err(error) = container.pidfd.send_signal(libc::SIGKILL)
                    && error.raw_os_error() != Some(libc::ESRCH)
                {
                    return self.reply(caller, Err(Failure::internal(format!("cannot kill {key}: {error}"))), None);
                }
                self.deleting.push((key, caller));
            }
            _ => self.start_delete(caller, key, None),
        }
    }

    /// Goes on with the deletions that waited for this end.
    pub(super) fn init_ended(&mut self, key: &ContainerKey) {
        let (ready, waiting) = std::mem::take(&mut self.deleting).into_iter().partition(|(waiting, _)| waiting == key);
        self.deleting = waiting;
        for (key, caller) in ready {
            self.start_delete(caller, key, None);
        }
    }

    fn start_delete(&mut self, caller: Caller, key: ContainerKey, failure: Option<Failure>) {
        let container = self.containers.remove(&key);
        let location = &self.location;
        let worker = Worker::spawn(&[], |_| sandbox::delete(location, &key));
        let started = worker.map_err(anyhow::Error::from);
        let job = Job::Delete(key, container, caller, failure);
        if let Err(error) = started.and_then(|worker| self.add_worker(worker, job)) {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), None);
        }
    }

    /// Takes a worker's report.
    pub(super) fn read_worker(&mut self, token: u64) {
        let Some((worker, _)) = self.workers.get_mut(&token) else { return };
        match worker.outcome() {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                if let Some((_, job)) = self.workers.remove(&token) {
                    self.finish(job, outcome);
                }
            }
            Err(_) => self.worker_died(token),
        }
    }

    fn finish(&mut self, job: Job, outcome: Outcome) {
        match job {
            Job::Create(key, caller) => self.finish_create(key, caller, outcome),
            Job::Delete(key, container, caller, failure) => {
                let outcome = outcome.map(|reply| with_known_status(reply, container.as_ref()));
                if let (Err(cause), Some(container)) = (&outcome, container) {
                    log::warn!("{key}: {cause}");
                    // It can be tried again, with the status still known.
                    self.containers.insert(key, container);
                }
                self.reply(caller, failure.map_or(outcome, Err), None);
            }
        }
        if self.workers.is_empty() {
            self.unclaimed.clear();
        }
    }

    fn finish_create(&mut self, key: ContainerKey, caller: Caller, outcome: Outcome) {
        let Ok(Reply::Created(created)) = &outcome else { return self.reply(caller, outcome, None) };
        let pid = created.pid.cast_signed();
        let ended = self.unclaimed.remove(&pid);
        let pidfd = match ended {
            // Its id may belong to another process by now.
            Some(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            None => Pidfd::open(pid),
        };
        match pidfd.map(Rc::new) {
            Ok(pidfd) => {
                if let Caller::Shim { connection: owner, .. } = caller {
                    let container = Container { pid, pidfd: pidfd.clone(), status: None, owner };
                    self.containers.insert(key, container);
                }
                self.reply(caller, outcome, Some(pidfd));
            }
            Err(error) => {
                let failure = Failure::internal(format!("the init of {key}, process {pid}, has ended: {error}"));
                self.start_delete(caller, key, Some(failure));
            }
        }
    }

    /// Cleans up after a worker that ended without an outcome: killed, or out of memory.
    pub(super) fn worker_died(&mut self, token: u64) {
        let Some((worker, job)) = self.workers.remove(&token) else { return };
        self.kill_group(worker.pid);
        match job {
            Job::Create(key, caller) => {
                let failure = Failure::internal(format!("the worker that was creating {key} was killed"));
                self.start_delete(caller, key, Some(failure));
            }
            Job::Delete(key, container, caller, failure) => {
                let cause = Failure::internal(format!("the worker that was deleting {key} was killed"));
                if let Some(container) = container {
                    self.containers.insert(key, container);
                }
                self.reply(caller, Err(failure.unwrap_or(cause)), None);
            }
        }
    }

    /// Kills what a dead worker has left that is in no cgroup yet: children of ours in its process group.
    fn kill_group(&self, group: Pid) {
        let children =
            fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()) {
            let belongs = nix::unistd::getpgid(Some(Pid::from_raw(pid))) == Ok(group);
            if belongs && !self.containers.is_init(pid) {
                // It may have ended by now.
                let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// What the host saw of the end beats what a worker found.
fn with_known_status(reply: Reply, container: Option<&Container>) -> Reply {
    match (reply, container) {
        (Reply::Deleted(deleted), Some(container)) => {
            Reply::Deleted(Deleted { pid: container.pid.unsigned_abs(), status: container.status.or(deleted.status) })
        }
        (reply, _) => reply,
    }
}

/// The three standard streams, `/dev/null` where none was sent.
fn arrange_stdio(presence: StdioPresence, fds: Vec<OwnedFd>) -> io::Result<[OwnedFd; 3]> {
    if fds.len() != presence.count() {
        return Err(io::Error::other(format!(
            "{} stdio descriptors were announced, {} came",
            presence.count(),
            fds.len()
        )));
    }
    let mut fds = fds.into_iter();
    let mut stream = |present| match if present { fds.next() } else { None } {
        Some(fd) => Ok(fd),
        None => fs::OpenOptions::new().read(true).write(true).open("/dev/null").map(OwnedFd::from),
    };
    Ok([stream(presence.stdin)?, stream(presence.stdout)?, stream(presence.stderr)?])
}

fn duplicate(fds: &[OwnedFd; 3]) -> io::Result<[OwnedFd; 3]> {
    let [stdin, stdout, stderr] = fds;
    Ok([stdin.try_clone()?, stdout.try_clone()?, stderr.try_clone()?])
}
