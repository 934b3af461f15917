//! How many short tasks get done in a second.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::options::Options;
use crate::subject::Subject;
use crate::task;

/// The rounds of one subject with so many tasks at a time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Throughput {
    pub subject: Subject,
    pub parallel: usize,
    pub rounds: Vec<Round>,
}

/// Tasks done, from preparing the snapshot to removing it, and the seconds until the last one was.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Round {
    pub tasks: usize,
    pub seconds: f64,
}

impl Round {
    /// Tasks per second.
    pub fn rate(&self) -> f64 {
        self.tasks as f64 / self.seconds
    }
}

/// Measures each number of parallel tasks, the subjects taking turns round by round.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Throughput>> {
    let mut results = Vec::new();
    for &parallel in &options.parallel {
        let new = |recipe: &Recipe| Throughput { subject: recipe.subject.clone(), parallel, rounds: Vec::new() };
        let mut level: Vec<_> = recipes.iter().map(new).collect();
        for round in 0..options.rounds {
            for turn in 0..recipes.len() {
                let index = (round + turn) % recipes.len();
                level[index].rounds.push(one_round(containerd, &recipes[index], parallel, options.round).await?);
            }
        }
        results.extend(level);
    }
    Ok(results)
}

/// `parallel` workers begin task after task until `length` has passed, and finish what they have begun.
async fn one_round(containerd: &Containerd, recipe: &Recipe, parallel: usize, length: Duration) -> Result<Round> {
    let begin = Instant::now();
    let worker = async || {
        let mut tasks = 0;
        while begin.elapsed() < length {
            task::run(containerd, recipe).await?;
            tasks += 1;
        }
        anyhow::Ok(tasks)
    };
    // When one fails, the others still finish theirs.
    let done = join_all((0..parallel).map(|_| worker())).await;
    let seconds = begin.elapsed().as_secs_f64();
    let tasks = done.into_iter().sum::<Result<usize>>()?;
    Ok(Round { tasks, seconds })
}
