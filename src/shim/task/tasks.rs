//! All containers of this shim.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use wasmedge_shim_protocol::{ContainerKey, ExitStatus};

use super::process::{Live, Process};
use crate::{
    cgroup::{Cgroups, OomKills},
    engine::EngineClient,
    error::{Result, TaskError},
    events::Publisher,
};

/// How long a shim without a container waits for one. containerd forgets a shim when the client of a creation goes
/// away in the middle of it, and asks nothing of it any more, not even to end.
pub const ABANDONED: Duration = Duration::from_secs(60);

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
    /// Ends of processes that are not known yet: the host may tell of an end before the reply to the start has been
    /// looked at.
    early: HashMap<u32, ExitStatus>,
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

    /// The process with this id; `None` where it is not known, and its end is kept until it is.
    pub fn ended(&self, pid: u32, status: ExitStatus) -> Option<Arc<Process>> {
        if self.init.pid() == pid {
            return Some(self.init.clone());
        }
        let mut programs = self.programs();
        let found = programs.by_id.values().find(|program| program.pid() == pid).cloned();
        if found.is_none() {
            programs.early.insert(pid, status);
        }
        found
    }

    /// Gives a program its process; how it ended, if it has by now.
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

    /// Every process that lives.
    pub fn living(&self) -> Vec<Arc<Process>> {
        let all = std::iter::once(self.init.clone()).chain(self.all_programs());
        all.filter(|process| process.is_alive()).collect()
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

/// The containers by their ids.
#[derive(Default)]
pub struct Tasks {
    by_id: Mutex<HashMap<String, Option<Arc<Task>>>>,
    /// Told at every removal.
    emptied: watch::Sender<()>,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Task>>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the name `id` for a container that is being created.
    pub fn reserve(&self, id: &str) -> Result<()> {
        let mut tasks = self.lock();
        if tasks.contains_key(id) {
            return Err(TaskError::already_exists(format!("container {id} exists")));
        }
        tasks.insert(id.to_owned(), None);
        Ok(())
    }

    /// Puts a created container under its reserved name.
    pub fn insert(&self, task: Arc<Task>) {
        self.lock().insert(task.key.id.clone(), Some(task));
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) {
        self.lock().remove(id);
        self.emptied.send_replace(());
    }

    /// The container `id`.
    pub fn get(&self, id: &str) -> Result<Arc<Task>> {
        let task = self.lock().get(id).and_then(Clone::clone);
        task.ok_or_else(|| TaskError::not_found(format!("container {id} not found")))
    }

    /// Whether there is none, not even one that is being created.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Waits until there has been no container for [`ABANDONED`].
    pub async fn abandoned(&self) {
        let mut emptied = self.emptied.subscribe();
        loop {
            if !self.is_empty() {
                // The sender lives as long as `self`.
                let _ = emptied.changed().await;
                continue;
            }
            emptied.mark_unchanged();
            // A container that came and went meanwhile starts the wait anew.
            if timeout(ABANDONED, emptied.changed()).await.is_err() && self.is_empty() {
                return;
            }
        }
    }

    /// Every container that has been created.
    pub fn all(&self) -> Vec<Arc<Task>> {
        self.lock().values().flatten().cloned().collect()
    }
}

/// What the verbs work with.
pub struct Shared {
    /// The containers.
    pub tasks: Arc<Tasks>,
    /// The engine host.
    pub engine: EngineClient,
    /// The socket of containerd's API.
    pub containerd: PathBuf,
    /// containerd's event bus.
    pub publisher: Arc<Publisher>,
    /// Read-locked while a container is being created. Deletion and shutdown write-lock it: when containerd gives up on
    /// a creation it deletes at once, and must find what the creation brings forth.
    pub creating: tokio::sync::RwLock<()>,
}
