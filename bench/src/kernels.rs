//! Compute kernels, and what programs do with files: how long a module takes, interpreted and as native code, to what the
//! same source takes as a Linux program.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::options::Options;
use crate::stats::{self, Ratio};
use crate::subject::Subject;
use crate::task;

/// Nanoseconds that each run computes at least: natively some hundred repetitions, a few where it is interpreted.
const LENGTH: f64 = 1e8;

/// Nanoseconds from which on a first run tells how long a repetition takes.
const TELLING: f64 = 1e7;

/// The levels of native code that are compared, with the names of the tables.
const LEVELS: [&str; 2] = ["O0", "O2"];

/// A program of bench/workloads that does one thing many times over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Kernels,
    /// What it waits for is the kernel, so it is run in the fastest way only.
    Files,
}

/// A way to run the kernels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    pub subject: Subject,
    /// `Linux`, `interpreted`, `O0`, `O2`, or `Wasm` for a runtime that decides itself.
    pub name: String,
}

/// The rounds of one kernel in one variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kernel {
    pub kernel: String,
    pub variant: Variant,
    /// How often each round computes it.
    pub repetitions: u32,
    /// Nanoseconds of the median repetition, round by round.
    pub samples: Vec<f64>,
}

/// The ways of each subject.
fn variants(subjects: impl Iterator<Item = Subject>, program: Program) -> Vec<Variant> {
    let subjects = subjects.map(|subject| Subject { seccomp: program == Program::Files, ..subject });
    let (linux, module) = match program {
        Program::Kernels => ("/kernels", "/kernels.wasm"),
        Program::Files => ("/files", "/files.wasm"),
    };
    let mut variants = Vec::new();
    for subject in subjects {
        let mut add = |subject: Subject, name: &str| variants.push(Variant { subject, name: name.to_owned() });
        if !subject.is_wasm() {
            add(subject.with_task("bench", [linux]), "Linux");
            continue;
        }
        let wasm = subject.with_task("bench", [module]);
        if !wasm.compiles() {
            add(wasm, "Wasm");
            continue;
        }
        add(wasm.with_annotation("io.wasmedge.aot", "off"), "interpreted");
        for level in LEVELS {
            let native = wasm.with_annotation("io.wasmedge.aot", "require");
            add(native.with_annotation("io.wasmedge.aot.level", level), level);
        }
    }
    variants
}

/// Runs every kernel of `program` in every variant, round by round.
pub async fn measure(
    containerd: &Containerd,
    recipes: &[Recipe],
    options: &Options,
    program: Program,
) -> Result<Vec<Kernel>> {
    let mut variants = variants(recipes.iter().map(|recipe| recipe.subject.clone()), program);
    if !options.interpreted || program == Program::Files {
        variants.retain(|variant| variant.name != "interpreted" && variant.name != "O0");
    }
    compile(containerd, &variants).await?;
    let first = variants.first().context("there is no runtime")?;
    let names = compute(containerd, &first.subject, &["list"]).await?;
    let mut results = Vec::new();
    for kernel in names.split_whitespace() {
        results.extend(measure_one(containerd, kernel, &variants, options.rounds).await?);
    }
    Ok(results)
}

/// Starts the module once at each level, so that no measured start waits for the compiler; makes sure that the levels are
/// those that were asked for.
async fn compile(containerd: &Containerd, variants: &[Variant]) -> Result<()> {
    let compiled: Vec<_> = variants.iter().filter(|variant| LEVELS.contains(&variant.name.as_str())).collect();
    if compiled.is_empty() {
        return Ok(());
    }
    cache::empty().await?;
    for variant in compiled {
        compute(containerd, &variant.subject, &["list"]).await?;
        let levels = cache::levels()?;
        ensure!(levels.contains(&variant.name), "there is native code at {levels:?}, but not at {}", variant.name);
    }
    Ok(())
}

async fn measure_one(containerd: &Containerd, name: &str, variants: &[Variant], rounds: usize) -> Result<Vec<Kernel>> {
    let mut checksum = None;
    let mut results = Vec::new();
    for variant in variants {
        let repetitions = calibrate(containerd, &variant.subject, name, &mut checksum).await?;
        let kernel = Kernel { kernel: name.to_owned(), variant: variant.clone(), repetitions, samples: Vec::new() };
        results.push(kernel);
    }
    for round in 0..rounds {
        for turn in 0..results.len() {
            let index = (round + turn) % results.len();
            let result: &mut Kernel = &mut results[index];
            let time = run(containerd, &result.variant.subject, name, result.repetitions, &mut checksum).await?;
            result.samples.push(time.median);
        }
    }
    Ok(results)
}

/// The repetitions that take long enough.
async fn calibrate(
    containerd: &Containerd,
    subject: &Subject,
    name: &str,
    checksum: &mut Option<String>,
) -> Result<u32> {
    let mut repetitions = 1;
    loop {
        let time = run(containerd, subject, name, repetitions, checksum).await?;
        let enough = |length: f64| (length / time.median).ceil().clamp(1.0, 1e6) as u32;
        if time.all >= TELLING {
            return Ok(enough(LENGTH));
        }
        repetitions = enough(TELLING).max(repetitions * 2);
    }
}

async fn run(
    containerd: &Containerd,
    subject: &Subject,
    name: &str,
    repetitions: u32,
    checksum: &mut Option<String>,
) -> Result<Time> {
    let line = compute(containerd, subject, &[name, &repetitions.to_string()]).await?;
    let (sum, time) = parse(name, &line).with_context(|| format!("{} prints {line:?}", subject.label))?;
    let expected = checksum.get_or_insert_with(|| sum.to_owned());
    ensure!(sum == *expected, "{}: {name} computes {sum} instead of {expected}", subject.label);
    Ok(time)
}

async fn compute(containerd: &Containerd, subject: &Subject, words: &[&str]) -> Result<String> {
    let args = subject.args.iter().cloned().chain(words.iter().copied().map(String::from)).collect();
    let recipe = Recipe::new(containerd, Subject { args, ..subject.clone() }).await?;
    Ok(task::run(containerd, &recipe).await?.output.stdout)
}

/// Nanoseconds of a run: all repetitions, and the median one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time {
    all: f64,
    median: f64,
}

/// Checksum and times of `NAME CHECKSUM ALL MEDIAN`.
fn parse<'a>(name: &str, line: &'a str) -> Option<(&'a str, Time)> {
    let mut words = line.split_whitespace();
    let (kernel, sum) = (words.next()?, words.next()?);
    let time = Time { all: words.next()?.parse().ok()?, median: words.next()?.parse().ok()? };
    (kernel == name && words.next().is_none()).then_some((sum, time))
}

/// A variant's times to those of the first one.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub variant: Variant,
    /// Kernels with their ratios, in their order.
    pub ratios: Vec<(String, Ratio)>,
    pub geometric_mean: f64,
    /// Kernels with the ratios of their fastest rounds: each round computes the same, and what else a machine does can only
    /// slow it down.
    pub fastest: Vec<(String, f64)>,
}

/// Compares each further variant with the first one.
pub fn compare(results: &[Kernel]) -> Vec<Comparison> {
    let Some(first) = results.first().map(|result| &result.variant) else { return Vec::new() };
    let mut variants: Vec<&Variant> = Vec::new();
    for result in results {
        if !variants.contains(&&result.variant) {
            variants.push(&result.variant);
        }
    }
    let of = |variant: &Variant, kernel: &str| {
        results.iter().find(|result| result.variant == *variant && result.kernel == kernel).map(|found| &found.samples)
    };
    let compare = |variant: &Variant| {
        let (mut ratios, mut fastest) = (Vec::new(), Vec::new());
        for Kernel { kernel, samples, .. } in results.iter().filter(|result| result.variant == *variant) {
            let Some(reference) = of(first, kernel) else { continue };
            ratios.push((kernel.clone(), stats::ratio(samples, reference)));
            fastest.push((kernel.clone(), stats::least(samples) / stats::least(reference)));
        }
        let geometric_mean = stats::geometric_mean(ratios.iter().map(|(_, ratio)| ratio.ratio));
        Comparison { variant: variant.clone(), ratios, geometric_mean, fastest }
    };
    variants.into_iter().skip(1).map(compare).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_measured_at_each_level_and_others_as_they_are() {
        let runc = Subject::parse("io.containerd.runc.v2=localhost/busybox /bin/echo").unwrap();
        let ours = Subject::parse("io.containerd.wasmedge.v1=localhost/wasm /hello.wasm").unwrap();
        let other = Subject::parse("io.containerd.other.v1=localhost/wasm /hello.wasm").unwrap();
        let all = variants([runc.clone(), ours, other].into_iter(), Program::Kernels);
        let names: Vec<_> = all.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["Linux", "interpreted", "O0", "O2", "Wasm"]);
        assert_eq!(all[3].subject.annotations["io.wasmedge.aot.level"], "O2");
        assert_eq!(all[0].subject.args, ["/kernels"]);
        assert_eq!(variants([runc].into_iter(), Program::Files)[0].subject.args, ["/files"]);
    }

    #[test]
    fn a_line_is_read_if_it_is_the_kernels() {
        assert_eq!(parse("sort", "sort 00ff 1500 70\n"), Some(("00ff", Time { all: 1500.0, median: 70.0 })));
        assert_eq!(parse("sort", "sieve 00ff 1500 70\n"), None);
        assert_eq!(parse("sort", "sort 00ff 1500\n"), None);
    }

    #[test]
    fn the_first_variant_is_the_measure() {
        let subject = Subject::of_runtime("r");
        let result = |name: &str, kernel: &str, time: f64| Kernel {
            kernel: kernel.to_owned(),
            variant: Variant { subject: subject.clone(), name: name.to_owned() },
            repetitions: 1,
            samples: vec![time, time, time / 2.0],
        };
        let results =
            [result("Linux", "a", 1.0), result("O2", "a", 2.0), result("Linux", "b", 4.0), result("O2", "b", 2.0)];
        let compared = compare(&results);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].ratios.iter().map(|(_, ratio)| ratio.ratio).collect::<Vec<_>>(), [2.0, 0.5]);
        assert!((compared[0].geometric_mean - 1.0).abs() < 1e-9);
        assert_eq!(compared[0].fastest, [("a".into(), 2.0), ("b".into(), 0.5)]);
    }
}
