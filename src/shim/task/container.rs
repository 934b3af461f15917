//! One container: its init, the other programs that are run in it, its cgroups.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use wasmedge_shim_protocol::{ContainerKey, ExitStatus};

use super::process::{Live, Process};
use crate::{
    cgroup::{Cgroups, OomKills},
    error::{Result, TaskError},
};

/// Exit status of a process that SIGKILL ended.
const KILLED: u32 = 128 + 9;

/// One container.
pub struct Task {
    /// Its name.
    pub key: ContainerKey,
    /// Its bundle.
    pub bundle: String,
    /// Its first process.
    pub init: Arc<Process>,
    /// Its cgroups.
    pub cgroups: Cgroups,
    programs: Mutex<Programs>,
    oom_kills: OomKills,
    /// Whether somebody wanted it killed.
    doomed: AtomicBool,
}

/// The other programs that are run in a container.
#[derive(Default)]
struct Programs {
    by_id: HashMap<String, Arc<Process>>,
    /// How many are being started.
    starts: usize,
    /// Ends of processes that are not known yet: the host may tell of an end before the reply to the start has been
    /// looked at. Kept while there is such a start, as a later process may have the same id.
    early: HashMap<u32, ExitStatus>,
}

/// A start under way.
pub struct Starting<'a>(&'a Task);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut programs = self.0.programs();
        programs.starts -= 1;
        if programs.starts == 0 {
            programs.early.clear();
        }
    }
}

impl Task {
    /// A container that was just created.
    pub fn new(key: ContainerKey, bundle: String, init: Arc<Process>, cgroups: Cgroups) -> Self {
        let oom_kills = OomKills::new(&cgroups);
        Self { key, bundle, init, cgroups, programs: Mutex::default(), oom_kills, doomed: AtomicBool::default() }
    }

    fn programs(&self) -> MutexGuard<'_, Programs> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a program to be run.
    pub fn add_program(&self, program: Process) -> Result<()> {
        let mut programs = self.programs();
        if programs.by_id.contains_key(&program.exec_id) {
            return Err(TaskError::already_exists(format!("id {} is in use", program.exec_id)));
        }
        programs.by_id.insert(program.exec_id.clone(), Arc::new(program));
        Ok(())
    }

    /// The init, for an empty `exec_id`, or another program.
    pub fn process(&self, exec_id: &str) -> Result<Arc<Process>> {
        if exec_id.is_empty() {
            return Ok(self.init.clone());
        }
        let program = self.programs().by_id.get(exec_id).cloned();
        program.ok_or_else(|| TaskError::not_found(format!("process {exec_id} of container {} not found", self.key.id)))
    }

    /// The living process with this id; `None` where it is not known, and its end is kept if it may become so.
    pub fn ended(&self, pid: u32, status: ExitStatus) -> Option<Arc<Process>> {
        let is_it = |process: &&Arc<Process>| process.pid() == pid && process.is_alive();
        let mut programs = self.programs();
        let found = std::iter::once(&self.init).chain(programs.by_id.values()).find(is_it).cloned();
        if found.is_none() && programs.starts > 0 {
            programs.early.insert(pid, status);
        }
        found
    }

    /// Notes that a program is being started, until the result is dropped.
    pub fn starting(&self) -> Starting<'_> {
        self.programs().starts += 1;
        Starting(self)
    }

    /// Gives a program that is being started its process; how that ended, if it has by now.
    pub fn set_live(&self, program: &Process, live: Live) -> Option<ExitStatus> {
        let mut programs = self.programs();
        let pid = live.pid;
        program.set_live(live);
        programs.early.remove(&pid)
    }

    /// Forgets a program.
    pub fn remove_program(&self, exec_id: &str) {
        self.programs().by_id.remove(exec_id);
    }

    /// The programs beside the init.
    pub fn all_programs(&self) -> Vec<Arc<Process>> {
        self.programs().by_id.values().cloned().collect()
    }

    /// Whether the kernel has killed a process for want of memory since the last call.
    pub fn has_new_oom_kill(&self) -> bool {
        self.oom_kills.are_new(&self.cgroups)
    }

    /// Whether that is why its init ended so, though its cgroup is gone.
    pub fn has_likely_oom_kill(&self, end: ExitStatus) -> bool {
        let killed = end.code == KILLED && !self.doomed.load(Ordering::Relaxed);
        killed && self.oom_kills.are_likely(&self.cgroups)
    }

    /// Notes that somebody wants it killed.
    pub fn doom(&self) {
        self.doomed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use containerd_shim::asynchronous::io::Stdio;
    use wasmedge_shim_protocol::Pidfd;

    use super::*;
    use crate::stdio::Streams;

    fn live(pid: u32) -> Live {
        let pidfd = Pidfd::open(std::process::id().cast_signed()).unwrap();
        Live { pid, pidfd, streams: Streams::default() }
    }

    fn task() -> Task {
        let init = Process::new("", Stdio::default());
        init.set_live(live(1));
        let key = ContainerKey { namespace: "default".into(), id: "one".into() };
        Task::new(key, String::new(), Arc::new(init), Cgroups::new(Vec::new()))
    }

    fn started(task: &Task, exec_id: &str, pid: u32) -> Option<ExitStatus> {
        task.add_program(Process::new(exec_id, Stdio::default())).unwrap();
        let _starting = task.starting();
        task.set_live(&task.process(exec_id).unwrap(), live(pid))
    }

    const STATUS: ExitStatus = ExitStatus { code: 3, at_unix_nanos: 0, out_of_memory: false };

    /// Regression test for C9: process ids are used again.
    #[test]
    fn an_end_is_that_of_the_living_process_with_the_id() {
        let task = task();
        started(&task, "old", 7);
        task.process("old").unwrap().set_stopped(STATUS);
        started(&task, "new", 7);
        assert_eq!(task.ended(7, STATUS).unwrap().exec_id, "new");
        task.init.set_stopped(STATUS);
        assert!(task.ended(1, STATUS).is_none(), "the init has ended");
    }

    #[test]
    fn an_end_that_is_told_before_the_start_s_reply_is_not_lost() {
        let task = task();
        let _starting = task.starting();
        assert!(task.ended(8, STATUS).is_none());
        assert_eq!(started(&task, "quick", 8), Some(STATUS));
    }

    /// Regression test for C9: an end that nobody asks for must not be a later process's.
    #[test]
    fn an_end_of_a_process_that_never_was_known_is_forgotten_with_the_start() {
        let task = task();
        let starting = task.starting();
        assert!(task.ended(9, STATUS).is_none());
        drop(starting);
        assert_eq!(started(&task, "later", 9), None);
        assert!(task.ended(10, STATUS).is_none());
        assert_eq!(started(&task, "much later", 10), None);
    }
}
