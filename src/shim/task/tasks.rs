//! All containers of this shim, and what happens to them unasked: their ends.

use std::{
    collections::HashMap,
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use containerd_shim::{
    api::Status,
    asynchronous::io::{IoTasks, Stdio},
    protos::events::task::TaskExit,
};
use log::warn;
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use wasmedge_shim_protocol::{ContainerKey, ExitStatus, Pidfd};

use super::state::State;
use crate::{
    cgroup::Cgroups,
    engine::{EngineClient, Notice},
    error::{Result, TaskError},
    events::{Publisher, timestamp},
};

/// Exit status of a process whose end nobody saw; containerd's `UnknownExitStatus`.
const UNKNOWN: u32 = 255;

/// How long a shim without a container waits for one. containerd forgets a shim when the client of a creation goes
/// away in the middle of it, and asks nothing of it any more, not even to end.
pub const ABANDONED: Duration = Duration::from_secs(60);

/// One container.
pub struct Task {
    /// Its name.
    pub key: ContainerKey,
    /// Its bundle.
    pub bundle: String,
    /// The FIFOs that containerd gave it.
    pub stdio: Stdio,
    /// The copies between them and the container.
    pub io: IoTasks,
    /// Its init.
    pub pid: u32,
    /// The same by descriptor.
    pub pidfd: Pidfd,
    /// Its cgroups.
    pub cgroups: Cgroups,
    /// Held while a verb, or the end, is under way: events keep their order.
    pub turn: tokio::sync::Mutex<()>,
    state: watch::Sender<State>,
}

impl Task {
    /// A container that was just created.
    pub fn new(
        key: ContainerKey,
        bundle: String,
        stdio: Stdio,
        io: IoTasks,
        pid: u32,
        pidfd: Pidfd,
        cgroups: Cgroups,
    ) -> Self {
        let state = watch::Sender::new(State::Created);
        Self { key, bundle, stdio, io, pid, pidfd, cgroups, turn: tokio::sync::Mutex::new(()), state }
    }

    /// Its state at the moment.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Moves on from [`State::Created`], unless it ended meanwhile.
    pub fn set_running(&self) {
        self.state.send_if_modified(|state| {
            let created = *state == State::Created;
            if created {
                *state = State::Running;
            }
            created
        });
    }

    /// Waits for its end.
    pub async fn wait(&self) -> ExitStatus {
        let mut state = self.state.subscribe();
        loop {
            if let Some(status) = state.borrow_and_update().exit() {
                return status;
            }
            if state.changed().await.is_err() {
                return ExitStatus::now(UNKNOWN);
            }
        }
    }

    /// Notes its end; `false` if that was known.
    fn set_stopped(&self, status: ExitStatus) -> bool {
        self.state.send_if_modified(|state| {
            let first = state.exit().is_none();
            if first {
                *state = State::Stopped(status);
            }
            first
        })
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

    fn living(&self) -> Vec<Arc<Task>> {
        self.lock().values().flatten().filter(|task| task.state().status() != Status::STOPPED).cloned().collect()
    }
}

/// Follows what the engine host tells, until the client is dropped.
pub async fn follow(tasks: Arc<Tasks>, publisher: Arc<Publisher>, mut notices: mpsc::UnboundedReceiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Exited(exit) => match tasks.get(&exit.key.id) {
                Ok(task) if task.pid == exit.pid => drop(tokio::spawn(ended(task, exit.status, publisher.clone()))),
                _ => warn!("process {} of {} ended, which is not known here", exit.pid, exit.key),
            },
            Notice::HostLost => {
                for task in tasks.living() {
                    tokio::spawn(watch_orphan(task, publisher.clone()));
                }
            }
        }
    }
}

/// Makes an end known, in its turn.
pub async fn ended(task: Arc<Task>, status: ExitStatus, publisher: Arc<Publisher>) {
    let _turn = task.turn.lock().await;
    if !task.set_stopped(status) {
        return;
    }
    let mut event = TaskExit::new();
    event.set_container_id(task.key.id.clone());
    event.set_id(task.key.id.clone());
    event.set_pid(task.pid);
    event.set_exit_status(status.code);
    event.set_exited_at(timestamp(status));
    publisher.publish(event).await;
}

/// Waits for the end of a container whose host, its parent, has died.
async fn watch_orphan(task: Arc<Task>, publisher: Arc<Publisher>) {
    if let Err(error) = readable(&task.pidfd).await {
        warn!("cannot watch process {} of {}: {error}", task.pid, task.key);
        return;
    }
    let status = status_of_orphan(&task.pidfd).await;
    ended(task, status, publisher).await;
}

/// Waits until the process has ended.
async fn readable(pidfd: &Pidfd) -> io::Result<()> {
    let own = pidfd.as_fd().try_clone_to_owned()?;
    // SAFETY: the AsyncFd owns its copy of the descriptor, which stays open and the same for as long.
    let own = unsafe { AsyncFd::register(own) }.map_err(io::Error::from)?;
    own.readable().await.map(drop)
}

/// The exit status of an ended process, which the kernel tells once its new parent has reaped it.
async fn status_of_orphan(pidfd: &Pidfd) -> ExitStatus {
    for _ in 0..200 {
        if let Some(status) = pidfd.exit_status() {
            return status;
        }
        sleep(Duration::from_millis(5)).await;
    }
    ExitStatus::now(UNKNOWN)
}

/// What the verbs work with.
pub struct Shared {
    /// The containers.
    pub tasks: Arc<Tasks>,
    /// The engine host.
    pub engine: EngineClient,
    /// containerd's event bus.
    pub publisher: Arc<Publisher>,
    /// Read-locked while a container is being created. Deletion and shutdown write-lock it: when containerd gives up on
    /// a creation it deletes at once, and must find what the creation brings forth.
    pub creating: tokio::sync::RwLock<()>,
}
