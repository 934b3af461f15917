//! What the host does for each request.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::Result;
use nix::{sys::signal::Signal, unistd::Pid};
use wasmedge_shim_protocol::{
    ContainerKey, Create, Deleted, Failure, FailureKind, FromHost, Outcome, Pidfd, Reply, Request, ToHost,
};

use super::{
    connection::ConnectionId,
    containers::Container,
    job::{Caller, Job},
    state::Host,
    stdio,
    worker::Worker,
};
use crate::sandbox;

impl Host {
    pub(super) fn handle(&mut self, connection: ConnectionId, message: ToHost, fds: Vec<OwnedFd>) {
        let ToHost::Request { id, request } = message else { return };
        let caller = Caller::Shim { connection, request: id };
        match request {
            Request::Create(create) => self.create(caller, *create, fds),
            Request::Start(key) => self.start(caller, key),
            Request::Exec(exec) => self.exec(caller, exec, fds),
            Request::Update(update) => self.update(caller, update),
            Request::Delete(key) => {
                self.delete_siblings(&key);
                self.delete(caller, key);
            }
        }
    }

    pub(super) fn reply(&mut self, caller: Caller, outcome: Outcome, fds: Vec<OwnedFd>) {
        match caller {
            Caller::Shim { connection, request: id } => self.send(connection, FromHost::Reply { id, outcome }, fds),
            Caller::Nobody => drop(outcome.map_err(|failure| log::warn!("{failure}"))),
        }
    }

    fn create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) {
        let started = self.start_create(caller, create, fds);
        if let Err(error) = started {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
        }
    }

    fn start_create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) -> Result<()> {
        let stdio = stdio::arrange(create.stdio, fds)?;
        let keep: Vec<_> = stdio.iter().map(std::os::fd::AsFd::as_fd).collect();
        let location = &self.location;
        let worker = Worker::spawn(&keep, || {
            // The worker's copies of the descriptors are its own; the host's are dropped below.
            let stdio = stdio::duplicate(&stdio).map_err(|error| Failure::internal(error.to_string()))?;
            sandbox::create(location, &create, stdio)
        })?;
        self.add_worker(worker, Job::Create(create.key, caller))
    }

    fn start(&mut self, caller: Caller, key: ContainerKey) {
        let container = self.containers.get(&key);
        if let Some(status) = container.and_then(|container| container.status) {
            let cause = format!("the init of {key} ended with code {} before it was started", status.code);
            return self.reply(caller, Err(Failure::new(FailureKind::FailedPrecondition, cause)), Vec::new());
        }
        if container.is_some_and(|container| !container.late_hooks) {
            let outcome = sandbox::start(&self.location, &key);
            return self.reply(caller, outcome, Vec::new());
        }
        let location = &self.location;
        let start = || sandbox::start_with_hooks(location, &key).map(|reply| (reply, Vec::new()));
        let worker = Worker::spawn(&[], start).map_err(anyhow::Error::from);
        if let Err(error) = worker.and_then(|worker| self.add_worker(worker, Job::Short("starting", caller))) {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
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
                    return self.reply(
                        caller,
                        Err(Failure::internal(format!("cannot kill {key}: {error}"))),
                        Vec::new(),
                    );
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
        let worker = Worker::spawn(&[], || sandbox::delete(location, &key).map(|reply| (reply, Vec::new())));
        let started = worker.map_err(anyhow::Error::from);
        let job = Job::Delete(key, container, caller, failure);
        if let Err(error) = started.and_then(|worker| self.add_worker(worker, job)) {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
        }
    }

    /// Takes a worker's report.
    pub(super) fn read_worker(&mut self, token: u64) {
        let Some((worker, _)) = self.workers.get_mut(&token) else { return };
        match worker.outcome() {
            Ok(None) => {}
            Ok(Some((outcome, fds))) => {
                if let Some((_, job)) = self.workers.remove(&token) {
                    self.finish(job, outcome, fds);
                }
            }
            Err(_) => self.worker_died(token),
        }
    }

    fn finish(&mut self, job: Job, outcome: Outcome, fds: Vec<OwnedFd>) {
        match job {
            Job::Create(key, caller) => self.finish_create(key, caller, outcome, fds),
            Job::Exec(key, caller) => self.finish_exec(key, caller, outcome, fds),
            Job::Short(_, caller) => self.reply(caller, outcome, fds),
            Job::Delete(key, container, caller, failure) => {
                let outcome = outcome.map(|reply| with_known_status(reply, container.as_ref()));
                if let (Err(cause), Some(container)) = (&outcome, container) {
                    log::warn!("{key}: {cause}");
                    // It can be tried again, with the status still known.
                    self.containers.insert(key, container);
                }
                self.reply(caller, failure.map_or(outcome, Err), fds);
            }
        }
        if self.workers.is_empty() {
            self.unclaimed.clear();
        }
    }

    fn finish_create(&mut self, key: ContainerKey, caller: Caller, outcome: Outcome, console: Vec<OwnedFd>) {
        let Ok(Reply::Created(created)) = &outcome else { return self.reply(caller, outcome, Vec::new()) };
        let pid = created.pid.cast_signed();
        let ended = self.unclaimed.remove(&pid);
        let pidfd = match ended {
            // Its id may belong to another process by now.
            Some(_) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            None => Pidfd::open(pid),
        };
        match pidfd.and_then(|pidfd| Ok((pidfd.as_fd().try_clone_to_owned()?, pidfd))) {
            Ok((copy, pidfd)) => {
                if let Caller::Shim { connection: owner, .. } = caller {
                    let late_hooks = created.late_hooks;
                    self.containers.insert(key, Container { pid, pidfd, status: None, owner, late_hooks });
                }
                self.reply(caller, outcome, std::iter::once(copy).chain(console).collect());
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
                self.reply(caller, Err(failure.unwrap_or(cause)), Vec::new());
            }
            Job::Exec(key, caller) => self.exec_died(&key, caller),
            Job::Short(doing, caller) => {
                let failure = Failure::internal(format!("the worker that was {doing} the container was killed"));
                self.reply(caller, Err(failure), Vec::new());
            }
        }
    }

    /// Kills what a dead worker has left that is in no cgroup yet: children of ours in its process group.
    fn kill_group(&self, group: Pid) {
        self.kill_strays(|pid| nix::unistd::getpgid(Some(Pid::from_raw(pid))) == Ok(group));
    }

    /// Kills those children of ours that are no known process of a container and that `belong`.
    pub(super) fn kill_strays(&self, belong: impl Fn(i32) -> bool) {
        let children =
            fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap_or_default();
        for pid in children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()) {
            if !self.containers.has_process(pid) && belong(pid) {
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
