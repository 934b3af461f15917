//! How long each step of a short task takes.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::container::{Container, Recipe};
use crate::containerd::Containerd;
use crate::interrupt;
use crate::options::Options;
use crate::subject::Subject;
use crate::sweep;

/// A task that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(60);

/// One task, in milliseconds as the client sees them.
#[derive(Clone, Copy, Debug, Serialize)]
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

/// The measured rounds of one subject, in order: sample N of each subject was taken in round N.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    pub subject: Subject,
    pub samples: Vec<Sample>,
}

/// Runs one short task of each subject per round, each round beginning with another one.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Latency>> {
    let new = |recipe: &Recipe| Latency { subject: recipe.subject.clone(), samples: Vec::new() };
    let mut results: Vec<_> = recipes.iter().map(new).collect();
    for round in 0..options.warmup + options.iterations {
        for turn in 0..recipes.len() {
            let index = (round + turn) % recipes.len();
            let sample = one_task(containerd, &recipes[index]).await?;
            if round >= options.warmup {
                results[index].samples.push(sample);
            }
        }
    }
    Ok(results)
}

/// A short task from its snapshot to the removal of all; checks exit code and output.
pub async fn one_task(containerd: &Containerd, recipe: &Recipe) -> Result<Sample> {
    interrupt::check()?;
    let id = sweep::new_id();
    let what = format!("{}, container {id}", recipe.subject.label);
    tokio::time::timeout(HANGS, timed(containerd, recipe, id))
        .await
        .with_context(|| format!("still not done after {HANGS:?}"))
        .and_then(|outcome| outcome)
        .context(what)
}

async fn timed(containerd: &Containerd, recipe: &Recipe, id: String) -> Result<Sample> {
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
    recipe.check(output)?;
    let milliseconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1e3;
    Ok(Sample {
        create: milliseconds(prepared, created),
        start: milliseconds(created, started),
        exit: milliseconds(started, exited),
        delete: milliseconds(before_delete, deleted),
        total: milliseconds(prepared, deleted),
        whole: milliseconds(begin, end),
    })
}

/// The outcome, and when it came.
async fn stamped<T>(request: impl Future<Output = Result<T>>) -> Result<(T, Instant)> {
    let outcome = request.await?;
    Ok((outcome, Instant::now()))
}
