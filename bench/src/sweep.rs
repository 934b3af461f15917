//! Leaving nothing behind: whatever our namespace of containerd holds with a name of ours is deleted, before a run and
//! after it, however it ended.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use containerd_client::services::v1::snapshots::ListSnapshotsRequest;
use containerd_client::services::v1::{
    DeleteTaskRequest, KillRequest, ListContainersRequest, ListTasksRequest, WaitRequest,
};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::container;
use crate::containerd::{Answer, Containerd, describe, request};
use crate::fifos::RUN;
use crate::proc;

const LOCK: &str = "/run/wasmedge-bench.lock";
const PREFIX: &str = "bench-";
/// A runtime that needs longer to let go of a killed task is at fault.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a shim may take to leave.
const LEAVING: Duration = Duration::from_secs(3);

/// A new name for a container and its snapshot.
pub fn new_id() -> String {
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// One run at a time: two would measure each other, and sweep each other's containers.
pub fn lock() -> Result<Flock<File>> {
    let file = File::create(LOCK).with_context(|| format!("creating {LOCK}"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((file, _)) => {
            eprintln!("bench: waiting for another run to end");
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).context(LOCK)
        }
    }
}

/// Deletes until nothing is left, as a request cut off by a signal may still be making something. Fails with a list.
pub async fn sweep(containerd: &Containerd) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut failures = Vec::new();
        let found = tasks(containerd, &mut failures).await?
            + containers(containerd, &mut failures).await?
            + snapshots(containerd, &mut failures).await?;
        if found == 0 {
            break;
        }
        if Instant::now() > end {
            bail!("left behind in containerd: {}", failures.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(if failures.is_empty() { 20 } else { 500 })).await;
    }
    forgotten_shims().await?;
    if Path::new(RUN).exists() {
        fs::remove_dir_all(RUN).with_context(|| format!("removing {RUN}"))?;
    }
    Ok(())
}

/// Shims leave soon after their last task's deletion. containerd forgets those whose Create request was cut off, as by a
/// kill of ours: they would stay for good.
async fn forgotten_shims() -> Result<()> {
    let end = Instant::now() + LEAVING;
    let mut shims = proc::shims(|word| word.starts_with(PREFIX))?;
    while !shims.is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
        shims = proc::shims(|word| word.starts_with(PREFIX))?;
    }
    for pid in shims {
        eprintln!("bench: killing shim {pid}, which containerd has forgotten");
        let _ = signal::kill(Pid::from_raw(pid.try_into()?), Signal::SIGKILL);
    }
    Ok(())
}

async fn tasks(containerd: &Containerd, failures: &mut Vec<String>) -> Result<usize> {
    let list = containerd.tasks().list(request(ListTasksRequest::default())).await.doing("listing tasks")?;
    let ours: Vec<_> = list.tasks.into_iter().map(|task| task.id).filter(|id| id.starts_with(PREFIX)).collect();
    for id in &ours {
        if let Err(error) = end_task(containerd, id).await {
            failures.push(format!("task {id}: {error:#}"));
        }
    }
    Ok(ours.len())
}

/// Kills the task, which may have ended, waits for its end, which it may not tell, and deletes it, which must succeed.
async fn end_task(containerd: &Containerd, id: &str) -> Result<()> {
    let mut tasks = containerd.tasks();
    let kill = KillRequest { container_id: id.to_owned(), signal: Signal::SIGKILL as u32, ..Default::default() };
    let _ = tasks.kill(request(kill)).await;
    let wait = WaitRequest { container_id: id.to_owned(), ..Default::default() };
    let _ = tokio::time::timeout(Duration::from_secs(2), tasks.wait(request(wait))).await;
    let delete = tasks.delete(request(DeleteTaskRequest { container_id: id.to_owned() }));
    tokio::time::timeout(Duration::from_secs(5), delete)
        .await
        .context("its deletion takes over 5 s")?
        .doing("deleting")?;
    Ok(())
}

async fn containers(containerd: &Containerd, failures: &mut Vec<String>) -> Result<usize> {
    let list = containerd.containers().list(request(ListContainersRequest::default())).await;
    let list = list.doing("listing containers")?.containers;
    let ours: Vec<_> = list.into_iter().map(|record| record.id).filter(|id| id.starts_with(PREFIX)).collect();
    for id in &ours {
        if let Err(error) = container::remove(containerd, id).await {
            failures.push(format!("container {id}: {error:#}"));
        }
    }
    Ok(ours.len())
}

async fn snapshots(containerd: &Containerd, failures: &mut Vec<String>) -> Result<usize> {
    let list = ListSnapshotsRequest { snapshotter: containerd.snapshotter.clone(), filters: vec![] };
    let what = "listing snapshots";
    let mut stream = containerd.snapshots().list(request(list)).await.doing(what)?;
    let mut ours = Vec::new();
    while let Some(part) = stream.message().await.map_err(|status| describe(what, &status))? {
        ours.extend(part.info.into_iter().map(|info| info.name).filter(|name| name.starts_with(PREFIX)));
    }
    for key in &ours {
        if let Err(error) = container::remove_snapshot(containerd, key).await {
            failures.push(format!("snapshot {key}: {error:#}"));
        }
    }
    Ok(ours.len())
}
