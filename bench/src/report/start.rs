//! Tables of starts: latency, throughput, first output.

use std::fmt::Write;

use super::to_first;
use crate::aot::{Phase, Starts};
use crate::latency::Latency;
use crate::stats;
use crate::task::Sample;
use crate::throughput::{Round, Throughput};

/// A step's name in the table, and its time in a sample.
pub type Step = (&'static str, fn(&Sample) -> f64);

/// The steps of a short task.
pub const STEPS: [Step; 6] = [
    ("create", |sample| sample.create),
    ("start", |sample| sample.start),
    ("exit", |sample| sample.exit),
    ("delete", |sample| sample.delete),
    ("**create→delete**", |sample| sample.total),
    ("with snapshot", |sample| sample.whole),
];

/// One step's time in every round.
pub fn times(of: &Latency, step: fn(&Sample) -> f64) -> Vec<f64> {
    of.samples.iter().map(step).collect()
}

pub fn latency(results: &[Latency]) -> String {
    let mut text = format!(
        "\n## Latency of a short task, ms ({} rounds)\n\n\
         | runtime | step | p50 | p95 | p99 | spread (MAD) | p50 to the first runtime's (95 %) |\n\
         |---|---|--:|--:|--:|--:|---|\n",
        results[0].samples.len()
    );
    for (index, result) in results.iter().enumerate() {
        for (name, step) in STEPS {
            let summary = stats::summary(&times(result, step));
            let ratio = to_first(index, &stats::ratio(&times(result, step), &times(&results[0], step)));
            let _ = writeln!(
                text,
                "| {} | {name} | {:.2} | {:.2} | {:.2} | {:.2} | {ratio} |",
                result.subject.label, summary.p50, summary.p95, summary.p99, summary.mad
            );
        }
    }
    text
}

/// Tasks per second, round by round.
pub fn rates(of: &Throughput) -> Vec<f64> {
    of.rounds.iter().map(Round::rate).collect()
}

pub fn throughput(results: &[Throughput]) -> String {
    let mut text = "\n## Throughput of short tasks\n\n\
                    | runtime | at a time | tasks/s, median | lowest | highest | to the first runtime's (95 %) |\n\
                    |---|--:|--:|--:|--:|---|\n"
        .to_owned();
    for result in results {
        let first = results.iter().find(|other| other.parallel == result.parallel).unwrap_or(result);
        let index = usize::from(first.subject != result.subject);
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {} |",
            result.subject.label,
            result.parallel,
            stats::percentile(&rates(result), 50.0),
            stats::percentile(&rates(result), 0.0),
            stats::percentile(&rates(result), 100.0),
            to_first(index, &stats::ratio(&rates(result), &rates(first)))
        );
    }
    text
}

/// A phase in words.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Plain => "–",
        Phase::Interpreted => "`off`: interpreted",
        Phase::First => "`tiered`, empty cache",
        Phase::Later => "`tiered`, optimized code in the cache",
    }
}

pub fn aot(results: &[Starts]) -> String {
    let mut text = "\n## From the request to create a container to its first output, ms\n\n\
                    | runtime | program | native code | p50 | lowest | highest | rounds |\n\
                    |---|---|---|--:|--:|--:|--:|\n"
        .to_owned();
    for result in results {
        let at = |percentile| stats::percentile(&result.samples, percentile);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} | {} |",
            result.subject.label,
            result.program,
            phase(result.phase),
            at(50.0),
            at(0.0),
            at(100.0),
            result.samples.len()
        );
    }
    text
}
