//! One short task from its snapshot to the removal of all, timed.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::container::{Container, Recipe};
use crate::containerd::Containerd;
use crate::fifos::Output;
use crate::interrupt;
use crate::sweep;

/// A task that takes longer than this hangs. The longest ones wait for a compiler, or are interpreted.
const HANGS: Duration = Duration::from_secs(300);

/// One task, in milliseconds as the client sees them.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Create request to answer: shim, mounts, sandbox.
    pub create: f64,
    /// Start request to answer.
    pub start: f64,
    /// Answer to the start to answer to a wait that was asked before it.
    pub exit: f64,
    /// Delete request to answer.
    pub delete: f64,
    /// The four above: create request to delete answer.
    pub total: f64,
    /// From the preparation of the snapshot to its removal, `total` included.
    pub whole: f64,
}

/// A task that has ended with exit code 0.
#[derive(Clone, Debug)]
pub struct Done {
    pub sample: Sample,
    /// Create request to the first byte on stdout, in milliseconds.
    pub first_output: f64,
    pub output: Output,
}

/// Runs a task; checks exit code and output.
pub async fn run(containerd: &Containerd, recipe: &Recipe) -> Result<Done> {
    interrupt::check()?;
    let id = sweep::new_id();
    let what = format!("{}, container {id}", recipe.subject.label);
    tokio::time::timeout(HANGS, timed(containerd, recipe, id))
        .await
        .with_context(|| format!("still not done after {HANGS:?}"))
        .and_then(|outcome| outcome)
        .context(what)
}

async fn timed(containerd: &Containerd, recipe: &Recipe, id: String) -> Result<Done> {
    let begin = Instant::now();
    let container = Container::prepare(containerd, recipe, id).await?;
    let prepared = Instant::now();
    container.create().await?;
    let created = Instant::now();
    // try_join! polls in order: the wait request is on its way before the start.
    let ((code, exited), ((), started)) = tokio::try_join!(stamped(container.wait()), stamped(container.start()))?;
    let before_delete = Instant::now();
    let code_again = container.delete().await?;
    let deleted = Instant::now();
    let output = container.remove().await?;
    let end = Instant::now();

    ensure!((code, code_again) == (0, 0), "exit code {code}, at its deletion {code_again}: {output:?}");
    recipe.check(&output)?;
    let first = output.first.context("it printed nothing")?;
    let milliseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
    let sample = Sample {
        create: milliseconds(prepared, created),
        start: milliseconds(created, started),
        exit: milliseconds(started, exited),
        delete: milliseconds(before_delete, deleted),
        total: milliseconds(prepared, deleted),
        whole: milliseconds(begin, end),
    };
    Ok(Done { sample, first_output: milliseconds(prepared, first), output })
}

/// The outcome, and when it came.
async fn stamped<T>(request: impl Future<Output = Result<T>>) -> Result<(T, Instant)> {
    let outcome = request.await?;
    Ok((outcome, Instant::now()))
}
