//! What happens to containers unasked: ends of processes, and kills for want of memory.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use containerd_shim::protos::events::task::{TaskExit, TaskOOM};
use log::{debug, warn};
use tokio::{
    io::unix::AsyncFd,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use wasmedge_shim_protocol::ExitStatus;

use super::{
    container::Task,
    process::{Process, UNKNOWN},
    shared::Shared,
    tasks::Tasks,
};
use crate::{
    cgroup::{OomWatch, kill_all},
    engine::Notice,
    events::{Publisher, timestamp},
    logging,
};

/// How long the end of a container waits for the ends of its other programs, which the kernel or we have killed.
const PROGRAMS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a host that is there may take to tell of an end that the kernel has told of.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);

/// Follows what the engine host tells, until the client is dropped.
pub async fn follow(tasks: Arc<Tasks>, publisher: Arc<Publisher>, mut notices: mpsc::UnboundedReceiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Exited(exit) => match tasks.ended(&exit) {
                Some((task, process)) => {
                    let id = task.key.id.clone();
                    logging::spawn_about(&id, ended(task, process, exit.status, publisher.clone()));
                }
                None => debug!(container = exit.key.id; "process {} ended, which is not known here", exit.pid),
            },
            Notice::HostLost => tasks.lose_host(),
        }
    }
}

/// Makes an end known, in its turn. The end of an init comes after those of the container's other programs.
pub async fn ended(task: Arc<Task>, process: Arc<Process>, status: ExitStatus, publisher: Arc<Publisher>) {
    let mut killed = false;
    if process.exec_id.is_empty() {
        end_programs(&task).await;
        killed = task.has_new_oom_kill() || task.has_likely_oom_kill(status);
    }
    let _turn = process.turn.lock().await;
    // Both at once are one event. Only the host tells of `out_of_memory`, once for each process.
    if killed || status.out_of_memory {
        tell_of_oom(&task, &publisher).await;
    }
    if !process.set_stopped(status) {
        return;
    }
    let id = if process.exec_id.is_empty() { &task.key.id } else { &process.exec_id };
    let mut event = TaskExit::new();
    event.set_container_id(task.key.id.clone());
    event.set_id(id.clone());
    event.set_pid(process.pid());
    event.set_exit_status(status.code);
    event.set_exited_at(timestamp(status));
    publisher.publish(event).await;
}

/// With a pid namespace of the container's own the kernel has killed what else ran there; without one we do, as runc's
/// shim does.
async fn end_programs(task: &Task) {
    if let Err(error) = kill_all(&task.cgroups).await {
        warn!("cannot kill all: {error}");
    }
    let programs = task.all_programs();
    let all = async {
        for program in programs.iter().filter(|program| program.is_alive()) {
            program.wait().await;
        }
    };
    if timeout(PROGRAMS_TIMEOUT, all).await.is_err() {
        warn!("a program does not end with its container");
    }
}

async fn tell_of_oom(task: &Task, publisher: &Publisher) {
    let mut event = TaskOOM::new();
    event.set_container_id(task.key.id.clone());
    publisher.publish(event).await;
}

/// Tells of kills for want of memory as they happen: the container may live on.
pub async fn watch_memory(task: Arc<Task>, publisher: Arc<Publisher>) {
    let watch = match OomWatch::new(&task.cgroups) {
        Ok(Some(watch)) => watch,
        Ok(None) => return,
        Err(error) => return warn!("cannot watch for kills for want of memory: {error}"),
    };
    // The end of the container is told of, and with it the last kill, by `ended`.
    let ended = task.init.wait();
    let told = async {
        while watch.news().await {
            if task.has_new_oom_kill() {
                tell_of_oom(&task, &publisher).await;
            }
        }
    };
    tokio::select! {
        _ = ended => {}
        () = told => {}
    }
}

impl Shared {
    /// Makes the end of a process known that is told of by nobody but the kernel: its host is gone, or has lost sight of it.
    /// `losses` are those of hosts since before the process was asked for.
    pub fn watch(&self, task: &Arc<Task>, process: &Arc<Process>, losses: watch::Receiver<()>) {
        logging::spawn_about(&task.key.id, watch_end(task.clone(), process.clone(), losses, self.publisher.clone()));
    }
}

async fn watch_end(task: Arc<Task>, process: Arc<Process>, mut losses: watch::Receiver<()>, publisher: Arc<Publisher>) {
    if let Err(error) = gone(process.clone()).await {
        return warn!("cannot watch process {}: {error}", process.pid());
    }
    // The host, its parent, knows how it ended.
    tokio::select! {
        _ = process.wait() => return,
        _ = losses.changed() => {}
        () = sleep(HOST_TIMEOUT) => warn!("nobody tells how process {} ended", process.pid()),
    }
    let status = tokio::select! {
        _ = process.wait() => return,
        status = status_of_orphan(&process) => status,
    };
    ended(task, process, status, publisher).await;
}

/// The pidfd of a process that exists, for polling.
struct Watched(Arc<Process>);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.live().map_or(-1, |live| live.pidfd.as_raw_fd())
    }
}

/// Waits until the process has ended.
async fn gone(process: Arc<Process>) -> io::Result<()> {
    // SAFETY: a process keeps its descriptor, which stays open and the same for as long as it is held here.
    let pidfd = unsafe { AsyncFd::register(Watched(process)) }.map_err(io::Error::from)?;
    pidfd.readable().await.map(drop)
}

/// The exit status of an ended process, which the kernel tells once its parent, or its new one, has reaped it.
async fn status_of_orphan(process: &Process) -> ExitStatus {
    for _ in 0..200 {
        if let Some(status) = process.live().and_then(|live| live.pidfd.exit_status()) {
            return status;
        }
        sleep(Duration::from_millis(5)).await;
    }
    ExitStatus::now(UNKNOWN)
}
