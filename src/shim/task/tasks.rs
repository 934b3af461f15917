//! All containers of this shim.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, watch},
    time::timeout,
};
use wasmedge_shim_protocol::{Exit, ExitStatus, PodName};

use super::{container::Task, process::Process};
use crate::{
    engine::EngineClient,
    error::{Result, TaskError},
    events::Publisher,
    tracing::Tracing,
};

/// How long a shim without a container waits for one. containerd forgets a shim when the client of a creation goes
/// away in the middle of it, and asks nothing of it any more, not even to end.
pub const ABANDONED: Duration = Duration::from_secs(60);

/// The containers by their ids.
#[derive(Default)]
pub struct Tasks {
    entries: Mutex<Entries>,
    /// Told at every removal.
    emptied: watch::Sender<()>,
    /// Told when an engine host is lost.
    host_lost: watch::Sender<()>,
}

#[derive(Default)]
struct Entries {
    by_id: HashMap<String, Entry>,
    /// The shim is ending: there will be none any more.
    closed: bool,
}

/// A name that is in use.
#[derive(Default)]
struct Entry {
    /// From the moment on when there is an init.
    task: Option<Arc<Task>>,
    /// While it is being created.
    creation: Option<Creation>,
    /// Held while it is being deleted, or while somebody who wants that waits for its creation.
    deletion: Arc<tokio::sync::Mutex<()>>,
}

/// A creation under way.
#[derive(Default)]
struct Creation {
    /// Dropped at its end.
    end: watch::Sender<()>,
    /// Ends that the host has told of before its reply was looked at.
    early: HashMap<u32, ExitStatus>,
}

/// A name that is kept for a container that is being created. Dropped without [`Reservation::keep`], it is free again.
pub struct Reservation {
    tasks: Arc<Tasks>,
    id: String,
}

impl Reservation {
    /// The container is there, though its creation is not done yet. How its init ended, if it has by now.
    pub fn fill(&self, task: Arc<Task>) -> Option<ExitStatus> {
        let mut entries = self.tasks.lock();
        let entry = entries.by_id.get_mut(&self.id)?;
        let pid = task.init.pid();
        entry.task = Some(task);
        entry.creation.as_mut()?.early.remove(&pid)
    }

    /// The creation is done.
    pub fn keep(self) {
        if let Some(entry) = self.tasks.lock().by_id.get_mut(&self.id) {
            entry.creation = None;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let under_way = self.tasks.lock().by_id.get(&self.id).is_some_and(|entry| entry.creation.is_some());
        if under_way {
            self.tasks.remove(&self.id);
        }
    }
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the name `id` for a container that is being created.
    pub fn reserve(self: &Arc<Self>, id: &str) -> Result<Reservation> {
        let mut entries = self.lock();
        if entries.closed {
            return Err(TaskError::unavailable("the shim is ending"));
        }
        if entries.by_id.contains_key(id) {
            return Err(TaskError::already_exists(format!("container {id} exists")));
        }
        let entry = Entry { creation: Some(Creation::default()), ..Entry::default() };
        entries.by_id.insert(id.to_owned(), entry);
        Ok(Reservation { tasks: self.clone(), id: id.to_owned() })
    }

    /// Returns when `id` is not being created: at once where that is so.
    pub async fn created(&self, id: &str) {
        let end = self.lock().by_id.get(id).and_then(|entry| Some(entry.creation.as_ref()?.end.subscribe()));
        if let Some(mut end) = end {
            // Nothing is sent: it ends with its sender.
            let _ = end.changed().await;
        }
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) {
        self.lock().by_id.remove(id);
        self.emptied.send_replace(());
    }

    /// The container `id`.
    pub fn get(&self, id: &str) -> Result<Arc<Task>> {
        let task = self.lock().by_id.get(id).and_then(|entry| entry.task.clone());
        task.ok_or_else(|| not_found(id))
    }

    /// The right to delete `id`, whether it is created by now or not, after those who asked for it before.
    ///
    /// # Errors
    /// Where there is nothing, or nothing any more, by that name.
    pub async fn deletion(&self, id: &str) -> Result<OwnedMutexGuard<()>> {
        let of_entry = || self.lock().by_id.get(id).map(|entry| entry.deletion.clone()).ok_or_else(|| not_found(id));
        let deletion = of_entry()?;
        let guard = deletion.clone().lock_owned().await;
        // The name may be another container's by now.
        if Arc::ptr_eq(&of_entry()?, &deletion) { Ok(guard) } else { Err(not_found(id)) }
    }

    /// The container and the process that have ended; `None` where they are not known, or not yet.
    pub fn ended(&self, exit: &Exit) -> Option<(Arc<Task>, Arc<Process>)> {
        let mut entries = self.lock();
        let entry = entries.by_id.get_mut(&exit.key.id)?;
        match (&entry.task, &mut entry.creation) {
            (Some(task), _) => Some((task.clone(), task.ended(exit.pid, exit.status)?)),
            (None, creation) => {
                creation.as_mut()?.early.insert(exit.pid, exit.status);
                None
            }
        }
    }

    /// Notes that an engine host was lost.
    pub fn lose_host(&self) {
        self.host_lost.send_replace(());
    }

    /// Tells of hosts that are lost from now on.
    pub fn host_losses(&self) -> watch::Receiver<()> {
        self.host_lost.subscribe()
    }

    /// Whether there is none, not even one that is being created; then there will be none any more.
    pub fn close_if_empty(&self) -> bool {
        let mut entries = self.lock();
        entries.closed |= entries.by_id.is_empty();
        entries.closed
    }

    /// Waits until there has been no container for [`ABANDONED`].
    pub async fn abandoned(&self) {
        let mut emptied = self.emptied.subscribe();
        loop {
            if !self.lock().by_id.is_empty() {
                // The sender lives as long as `self`.
                let _ = emptied.changed().await;
                continue;
            }
            emptied.mark_unchanged();
            // A container that came and went meanwhile starts the wait anew.
            if timeout(ABANDONED, emptied.changed()).await.is_err() && self.close_if_empty() {
                return;
            }
        }
    }
}

fn not_found(id: &str) -> TaskError {
    TaskError::not_found(format!("container {id} not found"))
}

/// What the verbs work with.
pub struct Shared {
    /// containerd's namespace.
    pub namespace: String,
    /// The containers.
    pub tasks: Arc<Tasks>,
    /// The engine host.
    pub engine: EngineClient,
    /// The socket of containerd's API.
    pub containerd: PathBuf,
    /// What Kubernetes calls the pod.
    pub pod: Option<PodName>,
    /// Where spans go, if anywhere.
    pub tracing: Option<Tracing>,
    /// containerd's event bus.
    pub publisher: Arc<Publisher>,
}

#[cfg(test)]
mod tests {
    use wasmedge_shim_protocol::ContainerKey;

    use super::*;

    async fn is_created(tasks: &Tasks, id: &str) -> bool {
        timeout(Duration::from_millis(20), tasks.created(id)).await.is_ok()
    }

    /// Regression test for C1 and C5.
    #[tokio::test(flavor = "current_thread")]
    async fn a_creation_that_is_given_up_frees_its_name_and_lets_those_go_on_who_wait_for_it() {
        let tasks = Arc::new(Tasks::default());
        let reservation = tasks.reserve("one").unwrap();
        assert!(tasks.reserve("one").is_err());
        assert!(tasks.get("one").is_err());
        let _other = tasks.reserve("two").unwrap();
        assert!(!is_created(&tasks, "one").await);
        assert!(is_created(&tasks, "three").await, "nobody waits for other containers");
        let waiting = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.created("one").await }
        });
        tokio::task::yield_now().await;
        drop(reservation);
        waiting.await.unwrap();
        tasks.reserve("one").unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_shim_that_ends_takes_no_container_any_more() {
        let tasks = Arc::new(Tasks::default());
        let reservation = tasks.reserve("one").unwrap();
        assert!(!tasks.close_if_empty());
        drop(reservation);
        assert!(tasks.close_if_empty());
        assert_eq!(tasks.reserve("one").err().unwrap().to_string(), "the shim is ending");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_container_is_deleted_once_and_another_of_its_name_is_not() {
        let tasks = Arc::new(Tasks::default());
        let reservation = tasks.reserve("one").unwrap();
        let first = tasks.deletion("one").await.unwrap();
        let second = tokio::spawn({
            let tasks = tasks.clone();
            async move { tasks.deletion("one").await.err().map(|error| error.to_string()) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(reservation);
        let _other = tasks.reserve("one").unwrap();
        drop(first);
        assert_eq!(second.await.unwrap().unwrap(), "container one not found");
    }

    /// Regression test for C6.
    #[test]
    fn an_end_that_is_told_before_the_creation_s_reply_is_not_lost() {
        let tasks = Arc::new(Tasks::default());
        let reservation = tasks.reserve("one").unwrap();
        let key = ContainerKey { namespace: "default".into(), id: "one".into() };
        let status = ExitStatus { code: 3, at_unix_nanos: 0, out_of_memory: false };
        assert!(tasks.ended(&Exit { key: key.clone(), pid: 7, status }).is_none());
        let init = Process::new("", containerd_shim::asynchronous::io::Stdio::default());
        let pidfd = wasmedge_shim_protocol::Pidfd::open(std::process::id().cast_signed()).unwrap();
        init.set_live(super::super::process::Live { pid: 7, pidfd, streams: crate::stdio::Streams::default() });
        let task = Task::new(key, String::new(), Arc::new(init), crate::cgroup::Cgroups::new(Vec::new()));
        assert_eq!(reservation.fill(Arc::new(task)), Some(status));
    }
}
