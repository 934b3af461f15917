//! Deletions: the init ends first, as its end is to be told; then a worker removes the rest.

use std::time::{Duration, Instant};

use wasmedge_shim_protocol::{ContainerKey, Deleted, ExitStatus, Failure, Outcome, Reply};

use super::{
    child::{self, Kin},
    containers::Container,
    job::{Caller, Deletion, Job},
    state::Host,
    worker::Worker,
};
use crate::{journal::called, sandbox};

/// How long the end of an init that was killed is waited for. After that a worker tries what it can.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How many workers may be killed at one deletion before it is given up.
const MOST_KILLED: u32 = 20;

/// The exit code of a process that was ended by SIGKILL, or of which nothing else is known.
pub const KILLED: u32 = 137;

impl Host {
    /// Kills the init if it lives, and goes on when it has been reaped; see `init_ended`.
    pub(super) fn delete(&mut self, caller: Caller, key: ContainerKey) {
        let Some(container) = self.containers.get(&key).filter(|container| container.status.is_none()) else {
            return self.start_delete(caller, key, None);
        };
        if let Err(error) = container.pidfd.send_signal(libc::SIGKILL)
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            let failure = Failure::internal(format!("cannot kill {key}: {error}"));
            return self.reply(caller, Err(failure), Vec::new());
        }
        // A paused one dies when it may go on.
        sandbox::thaw(&container.cgroups);
        self.deleting.push((key, caller, Instant::now() + INIT_TIMEOUT));
    }

    /// Goes on with the deletions that waited for this end.
    pub(super) fn init_ended(&mut self, key: &ContainerKey) {
        let (ready, waiting) = std::mem::take(&mut self.deleting).into_iter().partition(|(waiting, ..)| waiting == key);
        self.deleting = waiting;
        for (key, caller, _) in ready {
            self.start_delete(caller, key, None);
        }
    }

    /// Goes on with the deletions whose init does not end, in the kernel for long, or frozen in a cgroup below.
    pub(super) fn stop_waiting_for_inits(&mut self) {
        let now = Instant::now();
        let (late, waiting) = std::mem::take(&mut self.deleting).into_iter().partition(|(.., until)| *until <= now);
        self.deleting = waiting;
        for (key, caller, _) in late {
            self.start_delete(caller, key, None);
        }
    }

    /// Lets a worker remove the container; `failure` is the answer where its creation has failed.
    pub(super) fn start_delete(&mut self, caller: Caller, key: ContainerKey, failure: Option<Failure>) {
        self.attempt_delete(caller, key, failure, 0);
    }

    fn attempt_delete(&mut self, caller: Caller, key: ContainerKey, failure: Option<Failure>, killed: u32) {
        if let Some(container) = self.containers.get(&key).filter(|container| container.status.is_none()) {
            let _ = self.epoll.delete(&container.pidfd);
        }
        let about = self.called(&key);
        let container = self.containers.remove(&key);
        let location = &self.location;
        let cgroups = container.as_ref().map(|container| container.cgroups.as_slice()).unwrap_or_default();
        let delete = || sandbox::delete(location, &key, cgroups).map(|reply| (reply, Vec::new()));
        match Worker::spawn(Some(&about), &self.confinement, &[], delete) {
            Ok(worker) => {
                let job = Job::Delete(Deletion { key, container, caller, failure, killed });
                if let Err(error) = self.add_worker(worker, job, &about, self.patience / 2) {
                    self.cannot_start(caller, &error);
                }
            }
            Err(error) => {
                if let Some(container) = container {
                    self.take_back(key, container);
                }
                self.cannot_start(caller, &error.into());
            }
        }
    }

    pub(super) fn finish_delete(&mut self, deletion: Deletion, outcome: Outcome) {
        let Deletion { key, container, caller, failure, .. } = deletion;
        let outcome = outcome.map(|reply| with_known_status(reply, container.as_ref()));
        if let (Err(cause), Some(container)) = (&outcome, container) {
            log::warn!("{}: {cause}", called(&key, container.pod.as_ref()));
            self.take_back(key, container);
        }
        self.reply(caller, failure.map_or(outcome, Err), Vec::new());
    }

    /// After a worker that has no outcome. Where it was `killed` from outside another takes its place, as what is gone stays
    /// gone and containerd does not ask twice: it calls the shim's `delete` once.
    pub(super) fn delete_died(&mut self, deletion: Deletion, killed: bool, cause: Failure) {
        let Deletion { key, container, caller, failure, killed: before } = deletion;
        if let Some(container) = container {
            self.take_back(key.clone(), container);
        }
        if killed && before < MOST_KILLED {
            log::warn!("{}: {cause}; another takes its place", self.called(&key));
            return self.attempt_delete(caller, key, failure, before + 1);
        }
        self.reply(caller, Err(failure.unwrap_or(cause)), Vec::new());
    }

    /// Keeps a container whose deletion has failed: it can be tried again, with the status still known.
    pub(super) fn take_back(&mut self, key: ContainerKey, mut container: Container) {
        if container.status.is_none() && matches!(child::kin(&container.pidfd), Ok(Kin::Stranger)) {
            // Reaped meanwhile, as nobody's.
            container.status = container.pidfd.exit_status().or_else(|| Some(ExitStatus::now(KILLED)));
        }
        let pid = container.pid;
        self.containers.insert(key, container);
        self.watch_process(pid);
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
