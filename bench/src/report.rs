//! The run as Markdown.

use std::fmt::Write;

use crate::idle::Idle;
use crate::latency::{Latency, Sample};
use crate::proc::Memory;
use crate::record::Record;
use crate::stats;
use crate::throughput::{Round, Throughput};

/// Load per CPU before the run from which on its figures mean little.
const BUSY: f64 = 0.3;

/// A step's name in the table, and its time in a sample.
type Step = (&'static str, fn(&Sample) -> f64);

const STEPS: [Step; 6] = [
    ("create", |sample| sample.create),
    ("start", |sample| sample.start),
    ("exit", |sample| sample.exit),
    ("delete", |sample| sample.delete),
    ("**create→delete**", |sample| sample.total),
    ("with snapshot", |sample| sample.whole),
];

/// All tables, those that were measured.
pub fn markdown(record: &Record) -> String {
    let mut text = head(record);
    if !record.latency.is_empty() {
        text += &latency(&record.latency);
    }
    if !record.throughput.is_empty() {
        text += &throughput(&record.throughput);
    }
    if !record.idle.is_empty() {
        text += &idle(&record.idle);
    }
    text
}

fn head(record: &Record) -> String {
    let machine = &record.machine;
    let mut text = format!(
        "{}, {} × {}, {:.0} GB, Linux {}, load {:.2} before\n\n",
        record.date,
        machine.cpus,
        machine.cpu,
        machine.memory as f64 / 1e9,
        machine.kernel,
        record.load[0]
    );
    for (program, version) in &record.versions {
        let _ = writeln!(text, "- {program}: {version}");
    }
    if record.load[0] > BUSY * machine.cpus as f64 {
        text += "\n**The machine was busy: trust the ratios of latency at most.**\n";
    }
    text
}

fn latency(results: &[Latency]) -> String {
    let mut text = format!(
        "\n## Latency of a short task, ms ({} rounds)\n\n\
         | runtime | step | p50 | p95 | p99 | spread (MAD) | p50 to the first runtime's (95 %) |\n\
         |---|---|--:|--:|--:|--:|---|\n",
        results[0].samples.len()
    );
    for (index, result) in results.iter().enumerate() {
        for (name, time) in STEPS {
            let times = |of: &Latency| of.samples.iter().map(time).collect::<Vec<_>>();
            let summary = stats::summary(&times(result));
            let ratio = stats::ratio(&times(result), &times(&results[0]));
            let ratio = match index {
                0 => "1".to_owned(),
                _ => format!("{:.2} ({:.2}–{:.2})", ratio.ratio, ratio.low, ratio.high),
            };
            let _ = writeln!(
                text,
                "| {} | {name} | {:.2} | {:.2} | {:.2} | {:.2} | {ratio} |",
                result.subject.label, summary.p50, summary.p95, summary.p99, summary.mad
            );
        }
    }
    text
}

fn throughput(results: &[Throughput]) -> String {
    let mut text = "\n## Throughput of short tasks\n\n\
                    | runtime | at a time | tasks/s, median | lowest | highest | to the first runtime's |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for result in results {
        let rates = |of: &Throughput| of.rounds.iter().map(Round::rate).collect::<Vec<_>>();
        let median = |of: &Throughput| stats::percentile(&rates(of), 50.0);
        let first = results.iter().find(|other| other.parallel == result.parallel).unwrap_or(result);
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.2} |",
            result.subject.label,
            result.parallel,
            median(result),
            stats::percentile(&rates(result), 0.0),
            stats::percentile(&rates(result), 100.0),
            median(result) / median(first)
        );
    }
    text
}

fn idle(results: &[Idle]) -> String {
    let mut text = "\n## Memory of sleeping containers, MB (means; 1 MB = 1,000,000 bytes)\n\n\
                    | runtime | containers | shim PSS | shim dirty | init private | init PSS | engine host PSS | engine host RSS | all PSS per container |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for result in results {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} |",
            result.subject.label,
            result.containers,
            mean(&result.shims, |memory| memory.pss),
            mean(&result.shims, |memory| memory.private_dirty),
            mean(&result.inits, |memory| memory.private),
            mean(&result.inits, |memory| memory.pss),
            mean(&result.hosts, |memory| memory.pss),
            mean(&result.hosts, |memory| memory.rss),
            megabytes(result.pss_per_container())
        );
    }
    text
}

fn mean(memories: &[Memory], part: fn(&Memory) -> u64) -> String {
    if memories.is_empty() {
        return "–".to_owned();
    }
    let sum: u64 = memories.iter().map(part).sum();
    format!("{:.2}", megabytes(sum) / memories.len() as f64)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
