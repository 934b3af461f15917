//! The promises of the shim as a test: a short run that fails when one is broken.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::aot;
use crate::containerd::Containerd;
use crate::kernels;
use crate::latency::Latency;
use crate::options::Options;
use crate::proc::Memory;
use crate::record::Record;
use crate::stats;

/// Bytes of PSS of a pod's shim with one container.
const SHIM_PSS: f64 = 2.1e6;
/// Bytes that a sleeping container's init has for itself.
const CONTAINER_PRIVATE: f64 = 3e6;
/// Time from create to delete, median, to runc's.
const CREATE_TO_DELETE: f64 = 0.33;
/// Geometric mean of the kernels' times as optimized native code, to the same source's as a Linux program; in their fastest
/// rounds. That of one machine depends on its processor.
const KERNELS: f64 = 1.3;
/// The same of the slowest kernel.
const SLOWEST_KERNEL: f64 = 2.0;
/// Seconds from the request for a container with an unknown 64 kB module to its first line, median.
const FIRST_START: f64 = 0.5;

/// One promise: a measured value and the most it may be, both in `unit`.
struct Floor {
    what: String,
    value: f64,
    most: f64,
    unit: &'static str,
}

impl Floor {
    fn new(what: impl Into<String>, value: f64, most: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, most, unit }
    }

    /// What was not measured, NaN, holds no promise.
    fn holds(&self) -> bool {
        self.value <= self.most
    }

    fn line(&self) -> String {
        let verdict = if self.holds() { "PASS" } else { "FAIL" };
        format!("{verdict}  {:<46} {:.2}{} (at most {:.2}{})", self.what, self.value, self.unit, self.most, self.unit)
    }
}

/// Measures the last runtime of the options against the first and prints a line for each promise.
pub async fn check(containerd: &Containerd, options: &Options) -> Result<ExitCode> {
    ensure!(options.subjects.len() > 1, "the promises need a runtime to compare with: give two or none");
    let mut record = Record::new(containerd, options).await?;
    record.measure(containerd, options).await?;
    let path = record.write(&options.output)?;
    let mut floors = Vec::new();
    if !record.latency.is_empty() {
        floors.push(latency(&record)?);
    }
    if !record.idle.is_empty() {
        floors.extend(memory(&record)?);
    }
    if !record.aot.is_empty() {
        let first = aot::first_start(&record.aot).context("no module was started with an empty cache")?;
        floors.push(Floor::new("first line of an unknown 64 kB module", first / 1e3, FIRST_START, " s"));
    }
    if !record.kernels.is_empty() {
        floors.extend(kernels(&record)?);
    }
    ensure!(!floors.is_empty(), "no promise is about what was chosen by --only");
    for floor in &floors {
        println!("{}", floor.line());
    }
    let broken = floors.iter().filter(|floor| !floor.holds()).count();
    println!("bench-floors: {} of {} hold; raw samples: {}", floors.len() - broken, floors.len(), path.display());
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn latency(record: &Record) -> Result<Floor> {
    let (first, last) = record.latency.first().zip(record.latency.last()).context("latency was not measured")?;
    let total = |of: &Latency| of.samples.iter().map(|sample| sample.total).collect::<Vec<_>>();
    let ratio = stats::ratio(&total(last), &total(first)).ratio;
    Ok(Floor::new("create→delete p50, ours to runc's", ratio, CREATE_TO_DELETE, ""))
}

fn memory(record: &Record) -> Result<[Floor; 2]> {
    let idle = record.idle.iter().rfind(|idle| !idle.pod).context("idle containers were not measured")?;
    let shim = most(&idle.shims, |memory| memory.pss) / 1e6;
    let init = most(&idle.inits, |memory| memory.private) / 1e6;
    Ok([
        Floor::new("shim, PSS", shim, SHIM_PSS / 1e6, " MB"),
        Floor::new("sleeping container, private memory", init, CONTAINER_PRIVATE / 1e6, " MB"),
    ])
}

fn kernels(record: &Record) -> Result<[Floor; 2]> {
    let compared = kernels::compare(&record.kernels);
    let optimized = compared.iter().find(|one| one.variant.name == "O2").context("no kernel ran at O2")?;
    let slowest = optimized.fastest.iter().max_by(|one, other| one.1.total_cmp(&other.1));
    let (name, slowest) = slowest.context("no kernel ran")?;
    let mean = stats::geometric_mean(optimized.fastest.iter().map(|(_, ratio)| *ratio));
    Ok([
        Floor::new("kernels, O2 to Linux, geometric mean", mean, KERNELS, ""),
        Floor::new(format!("kernels, O2 to Linux, slowest ({name})"), *slowest, SLOWEST_KERNEL, ""),
    ])
}

/// The largest one; NaN, which holds no promise, if there is none.
fn most(memories: &[Memory], part: fn(&Memory) -> u64) -> f64 {
    memories.iter().map(|memory| part(memory) as f64).fold(f64::NAN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_holds_no_promise() {
        assert!(Floor::new("a", 0.5, 0.5, "").holds());
        assert!(!Floor::new("a", 0.51, 0.5, "").holds());
        assert!(!Floor::new("a", most(&[], |memory| memory.pss), 0.5, "").holds());
    }
}
