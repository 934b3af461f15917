//! How long each step of a short task takes.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::options::Options;
use crate::subject::Subject;
use crate::task::{self, Sample};

/// The measured rounds of one subject, in order: sample N of each subject was taken in round N.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
            let done = task::run(containerd, &recipes[index]).await?;
            if round >= options.warmup {
                results[index].samples.push(done.sample);
            }
        }
    }
    Ok(results)
}
