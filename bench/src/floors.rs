//! The promises of the shim as a test: a short run that fails when one is broken.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::containerd::Containerd;
use crate::latency::Latency;
use crate::options::Options;
use crate::proc::Memory;
use crate::record::{self, Record};
use crate::stats;

/// Bytes of PSS of a pod's shim with one container.
const SHIM_PSS: f64 = 3e6;
/// Bytes that a sleeping container's init has for itself.
const CONTAINER_PRIVATE: f64 = 3e6;
/// Time from create to delete, median, to runc's.
const CREATE_TO_DELETE: f64 = 0.6;

/// One promise: a measured value and the most it may be, both in `unit`.
struct Floor {
    what: &'static str,
    value: f64,
    most: f64,
    unit: &'static str,
}

impl Floor {
    fn holds(&self) -> bool {
        self.value <= self.most
    }

    fn line(&self) -> String {
        let verdict = if self.holds() { "PASS" } else { "FAIL" };
        format!("{verdict}  {:<42} {:.2}{} (at most {:.2}{})", self.what, self.value, self.unit, self.most, self.unit)
    }
}

/// Measures the last runtime of the options against the first and prints a line for each promise.
pub async fn check(containerd: &Containerd, options: &Options) -> Result<ExitCode> {
    ensure!(options.subjects.len() > 1, "the promises need a runtime to compare with: give two or none");
    let options = Options { throughput: false, ..options.clone() };
    let record = record::measure(containerd, &options).await?;
    let floors = floors(&record)?;
    for floor in &floors {
        println!("{}", floor.line());
    }
    let broken = floors.iter().filter(|floor| !floor.holds()).count();
    let path = record.write(&options.output)?;
    println!("bench-floors: {} of {} hold; raw samples: {}", floors.len() - broken, floors.len(), path.display());
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn floors(record: &Record) -> Result<[Floor; 3]> {
    let idle = record.idle.last().context("idle containers were not measured")?;
    let (first, last) = record.latency.first().zip(record.latency.last()).context("latency was not measured")?;
    let total = |of: &Latency| of.samples.iter().map(|sample| sample.total).collect::<Vec<_>>();
    Ok([
        Floor {
            what: "shim, PSS",
            value: most(&idle.shims, |memory| memory.pss) / 1e6,
            most: SHIM_PSS / 1e6,
            unit: " MB",
        },
        Floor {
            what: "sleeping container, private memory",
            value: most(&idle.inits, |memory| memory.private) / 1e6,
            most: CONTAINER_PRIVATE / 1e6,
            unit: " MB",
        },
        Floor {
            what: "create→delete p50, ours to runc's",
            value: stats::ratio(&total(last), &total(first)).ratio,
            most: CREATE_TO_DELETE,
            unit: "",
        },
    ])
}

/// The largest one; NaN, which holds no promise, if there is none.
fn most(memories: &[Memory], part: fn(&Memory) -> u64) -> f64 {
    memories.iter().map(|memory| part(memory) as f64).fold(f64::NAN, f64::max)
}
