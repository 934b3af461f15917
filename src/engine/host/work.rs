//! Workers from their report to their end, in time or not.

use std::{
    fs, io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use wasmedge_shim_protocol::{ContainerKey, Failure, Outcome};

use super::{
    child,
    job::{COMPILATION, Caller, Job, Made, Work},
    newborns::Newborn,
    state::Host,
    strays::kill_group,
};
use crate::sandbox::Init;

/// How often to look whether a worker still waits for a compiler, or has died of SIGKILL.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why a worker has no outcome that nobody has ended here.
const KILLED: &str = "was killed";

impl Host {
    /// Takes a worker's report.
    pub(super) fn read_worker(&mut self, id: u64) {
        let Some(work) = self.workers.get_mut(&id) else { return };
        if work.job.is_none() {
            // Only its end is of interest now.
            let _ = self.epoll.delete(work.worker.socket());
            return;
        }
        match work.worker.outcome() {
            Ok(None) => {}
            Ok(Some((outcome, noted, fds))) => {
                let took = work.begun.elapsed();
                if let Some(job) = work.job.take() {
                    self.telling.counts.noted(&noted);
                    self.finish(job, outcome, fds, Made { module: noted.module, took, stages: noted.stages });
                    self.unsettled = true;
                }
            }
            Err(error) => {
                log::debug!("the worker {} that was {}: {error}", work.worker.pid, work.name);
                match error.kind() {
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => self.worker_died(id, KILLED),
                    // Another would say no more.
                    _ => self.worker_died(id, &format!("sent a report that cannot be used: {error}")),
                }
            }
        }
    }

    /// Reaps a worker that has ended, and the helpers that it leaves in its process group.
    pub(super) fn worker_ended(&mut self, id: u64) {
        let Some(work) = self.workers.get(&id) else { return };
        if !matches!(child::kin(&work.worker.pidfd), Ok(child::Kin::Ended | child::Kin::Stranger)) {
            return;
        }
        // A worker that has done its work reported before it ended.
        self.read_worker(id);
        self.worker_died(id, KILLED);
        let Some(work) = self.workers.remove(&id) else { return };
        let _ = self.epoll.delete(&work.worker.pidfd);
        let _ = self.epoll.delete(work.worker.socket());
        while let Some(pid) = child::next_ended_in(work.worker.pid.as_raw()) {
            self.bury(pid);
        }
        // It may have died before it had a group.
        let _ = child::reap(&work.worker.pidfd);
        self.unsettled = true;
    }

    fn finish(&mut self, job: Job, outcome: Outcome, fds: Vec<OwnedFd>, made: Made) {
        match job {
            Job::Create(key, caller, pod) => {
                let done = self.finish_create(Newborn { key, pod, stages: made.stages }, caller, outcome, fds);
                self.telling.counts.created(made.module, done.then_some(made.took));
            }
            Job::Telling(_) => {}
            Job::Exec(key, caller) => self.finish_exec(key, caller, outcome, fds),
            Job::Short(_, caller) => self.reply(caller, outcome, fds),
            Job::Delete(deletion) => self.finish_delete(deletion, outcome),
        }
    }

    /// Ends workers that have taken too long, and says so. The time that they wait for a compiler does not count.
    pub(super) fn end_the_late(&mut self) {
        let now = Instant::now();
        let late: Vec<u64> = self.workers.iter().filter(|(_, work)| work.deadline <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(work) = self.workers.get_mut(&id) else { continue };
            if work.is_given_more(now) {
                continue;
            }
            work.deadline = now + LOOK_AGAIN;
            let why = format!("took longer than {} s", work.limit.as_secs());
            match &work.job {
                Some(_) => log::warn!("the worker {} that was {} {why}", work.worker.pid, work.name),
                None => log::warn!("the worker {} that was {} does not end", work.worker.pid, work.name),
            }
            work.end();
            self.worker_died(id, &why);
        }
    }

    /// Cleans up after a worker that has no outcome: killed, out of memory, or too slow. `why` says which.
    fn worker_died(&mut self, id: u64, why: &str) {
        let Some(work) = self.workers.get_mut(&id) else { return };
        let (worker, started, Some(job)) = (work.worker.pid, work.worker.started, work.job.take()) else {
            return;
        };
        let failure = Failure::internal(format!("the worker that was {} {why}", work.name));
        work.end();
        self.telling.counts.workers_lost += u64::from(!matches!(job, Job::Telling(_)));
        kill_group(worker);
        match job {
            Job::Create(key, caller, _) => {
                self.telling.counts.created(None, None);
                self.start_delete(caller, key, Some(failure));
            }
            Job::Telling(_) => {}
            Job::Delete(deletion) => self.delete_died(deletion, why == KILLED, failure),
            Job::Exec(key, caller) => {
                self.telling.counts.execs_failed += 1;
                self.expect_strays(key, started);
                self.reply(caller, Err(failure), Vec::new());
            }
            Job::Short(_, caller) => self.reply(caller, Err(failure), Vec::new()),
        }
        self.unsettled = true;
    }

    /// A program that a dead worker had made runs on without anybody knowing.
    fn expect_strays(&mut self, key: ContainerKey, started: u64) {
        let init = self.containers.get(&key).map(|container| container.pid);
        let cgroups = init.and_then(|init| fs::read_to_string(format!("/proc/{init}/cgroup")).ok());
        if let (Some(cgroups), Ok(now)) = (cgroups, super::worker::ticks_since_boot()) {
            self.strays.expect(key, cgroups, started, now);
        }
    }

    /// Whether a worker that still runs may have made this child and may be about to report it.
    pub(super) fn may_be_reported(&self, pid: i32) -> bool {
        let start = Init::of(pid).map(|process| process.start_time);
        self.oldest_maker(None).is_some_and(|oldest| start.is_some_and(|start| oldest <= start))
    }

    pub(super) fn worker_of(&self, pid: i32) -> Option<u64> {
        self.workers.iter().find(|(_, work)| work.worker.pid.as_raw() == pid).map(|(id, _)| *id)
    }

    pub(super) fn cannot_start(&mut self, caller: Caller, error: &anyhow::Error) {
        self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
    }
}

impl Work {
    /// Whether a worker whose time is over has spent it waiting for a compiler, and may go on.
    fn is_given_more(&mut self, now: Instant) -> bool {
        let own_start = self.waited_until.unwrap_or(self.begun);
        if self.job.is_some() && now - self.begun < self.limit + COMPILATION && self.worker.waits_for_compiler() {
            self.waited_until = Some(now);
            self.deadline = now + LOOK_AGAIN;
            return true;
        }
        // What is left of its own time, after the last wait that was seen.
        self.deadline = own_start + self.limit;
        self.deadline > now
    }

    /// Kills the worker, which may have ended by now.
    fn end(&self) {
        let _ = self.worker.pidfd.send_signal(libc::SIGKILL);
    }
}
