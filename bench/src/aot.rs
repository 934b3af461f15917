//! How long it takes from the request to create a container to the first byte it prints, with and without native code
//! in the cache.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::interrupt;
use crate::options::Options;
use crate::subject::Subject;
use crate::task;

/// Rounds for a large module, whose optimization takes half a minute.
const LARGE_ROUNDS: usize = 3;

/// What the optimizer may need for a large module on a busy machine.
const OPTIMIZED: Duration = Duration::from_secs(600);

/// What a start finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A Linux program, or a runtime that knows no annotations of ours.
    Plain,
    /// No native code is wanted.
    Interpreted,
    /// The cache is empty: the module is unknown.
    First,
    /// Optimized code is in the cache.
    Later,
}

/// Starts of one subject in one phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Starts {
    pub subject: Subject,
    /// What runs: `hello` or `ripgrep`.
    pub program: String,
    pub phase: Phase,
    /// Create request to the first byte on stdout, in milliseconds, round by round.
    pub samples: Vec<f64>,
}

impl Starts {
    fn median_first(of: &[Starts]) -> Option<f64> {
        let first = of.iter().find(|starts| starts.phase == Phase::First)?;
        Some(crate::stats::percentile(&first.samples, 50.0))
    }
}

/// Median of the first starts of the small module, in milliseconds; `None` if there were none.
pub fn first_start(results: &[Starts]) -> Option<f64> {
    let small: Vec<_> = results.iter().filter(|starts| starts.program == "hello").cloned().collect();
    Starts::median_first(&small)
}

/// A program to start, with its rounds.
struct Program {
    name: &'static str,
    recipes: Vec<Recipe>,
    rounds: usize,
}

/// Measures the hello of each subject, and ripgrep for those that compile modules.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Starts>> {
    let mut programs = vec![Program { name: "hello", recipes: recipes.to_vec(), rounds: options.rounds }];
    if options.large {
        let mut large = Vec::new();
        for recipe in recipes.iter().filter(|recipe| recipe.subject.compiles()) {
            let search = ["/rg.wasm", "--sort", "path", "needle", "/text"];
            large.push(Recipe::new(containerd, recipe.subject.with_task("ripgrep", search)).await?);
        }
        programs.push(Program { name: "ripgrep", recipes: large, rounds: options.rounds.min(LARGE_ROUNDS) });
    }
    let mut results = Vec::new();
    for program in &programs {
        results.extend(measure_one(containerd, program).await?);
    }
    Ok(results)
}

async fn measure_one(containerd: &Containerd, program: &Program) -> Result<Vec<Starts>> {
    let mut samples: BTreeMap<(usize, Phase), Vec<f64>> = BTreeMap::new();
    for round in 0..program.rounds {
        for turn in 0..program.recipes.len() {
            let index = (round + turn) % program.recipes.len();
            for (phase, milliseconds) in one_round(containerd, &program.recipes[index]).await? {
                samples.entry((index, phase)).or_default().push(milliseconds);
            }
        }
    }
    let named = |((index, phase), samples): ((usize, Phase), Vec<f64>)| {
        let subject = program.recipes[index].subject.clone();
        Starts { subject, program: program.name.to_owned(), phase, samples }
    };
    Ok(samples.into_iter().map(named).collect())
}

async fn one_round(containerd: &Containerd, recipe: &Recipe) -> Result<Vec<(Phase, f64)>> {
    if !recipe.subject.compiles() {
        return Ok(vec![(Phase::Plain, task::run(containerd, recipe).await?.first_output)]);
    }
    let policy = |name| recipe.with_annotation("io.wasmedge.aot", name);
    let interpreted = task::run(containerd, &policy("off")).await?;
    cache::empty().await?;
    let first = task::run(containerd, &policy("tiered")).await?;
    // What runs once earns no optimization, a second start does.
    cache::quiet(Instant::now() + OPTIMIZED).await?;
    task::run(containerd, &policy("tiered")).await?;
    wait_until_optimized().await?;
    let later = task::run(containerd, &policy("tiered")).await?;
    let phases = [(Phase::Interpreted, interpreted), (Phase::First, first), (Phase::Later, later)];
    Ok(phases.map(|(phase, done)| (phase, done.first_output)).into())
}

/// Waits until the one module that was started since the cache was emptied is optimized.
async fn wait_until_optimized() -> Result<()> {
    let end = Instant::now() + OPTIMIZED;
    cache::quiet(end).await?;
    let levels = cache::levels()?;
    if levels.is_empty() {
        bail!("nothing was compiled");
    }
    ensure!(levels.iter().any(|level| level == "O2"), "the module was not optimized, there is only {levels:?}");
    interrupt::check().context("waiting for the compiler")
}
