//! What dead workers leave: processes that nobody has reported, children of the host's all the same.
//!
//! Such a process is known by its age. A worker makes nothing that is older than itself, and a dead one made nothing since
//! its death; so what is in that time, and no other worker that still runs can have made, is the dead one's.

use std::fs;

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use wasmedge_shim_protocol::ContainerKey;

use super::{job::Job, left::Left, state::Host};
use crate::sandbox::Init;

impl Host {
    /// Ends what dead workers have left in containers, as far as it is certain to be theirs.
    pub(super) fn end_strays(&mut self) {
        let mut expected = std::mem::take(&mut self.strays.left);
        if !expected.is_empty() {
            let children = self.unknown_children();
            for left in &expected {
                children.iter().filter(|pid| self.is_stray(**pid, left)).for_each(|pid| {
                    log::warn!("process {pid} of {}, whose worker has died, is ended", self.called(&left.key));
                    end(*pid);
                });
            }
            // Who was there when the worker died may have made what is in question; who came later has not.
            expected.retain(|left| self.oldest_maker(Some(&left.key)).is_some_and(|oldest| oldest <= left.time.1));
        }
        self.strays.left = expected;
    }

    fn is_stray(&self, pid: i32, left: &Left) -> bool {
        let older_than_others = |start| self.oldest_maker(Some(&left.key)).is_none_or(|oldest| start < oldest);
        let is_of_the_time = |start: u64| (left.time.0..=left.time.1).contains(&start) && older_than_others(start);
        Init::of(pid).is_some_and(|process| is_of_the_time(process.start_time))
            && fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroups| cgroups == left.cgroups)
    }

    /// Children of ours that are neither known processes of containers nor workers.
    fn unknown_children(&self) -> Vec<i32> {
        let children = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id()));
        let children = children.unwrap_or_default();
        let pids = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        pids.filter(|pid| !self.containers.has_process(*pid) && self.worker_of(*pid).is_none()).collect()
    }

    /// When the oldest worker was made that may have made a process which it has not reported, in clock ticks since boot;
    /// of those for `key`, or of all.
    pub(super) fn oldest_maker(&self, key: Option<&ContainerKey>) -> Option<u64> {
        let makes = |job: &Job| match job {
            Job::Create(of, ..) | Job::Exec(of, _) => key.is_none_or(|key| key == of),
            Job::Short(..) | Job::Delete(..) | Job::Telling(_) => false,
        };
        let makers = self.workers.values().filter(|work| work.job.as_ref().is_some_and(makes));
        makers.map(|work| work.worker.started).min()
    }
}

/// Kills what a worker that has not been reaped has made and that is in no cgroup of a container yet: the process group that
/// it leads, with its own children, such as hooks, and those that it has made the host's.
pub fn kill_group(worker: Pid) {
    // Nobody else's group: the id is the worker's until it is reaped.
    let _ = killpg(worker, Signal::SIGKILL);
}

/// Children of ours keep their ids until we reap them.
fn end(pid: i32) {
    // It may have ended by now.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}
