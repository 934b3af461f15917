//! The short tables of docs/performance.md: the last runtime against the first.

use std::fmt::Write;

use super::memory::{mean, megabytes};
use super::speed::{self, costs};
use super::start::{self, STEPS, phase, times};
use super::{head, interval};
use crate::aot::{Phase, Starts};
use crate::http::Http;
use crate::idle::Idle;
use crate::latency::Latency;
use crate::record::Record;
use crate::stats::{self, percentile};
use crate::throughput::Throughput;

/// All that was measured, ready to be pasted.
pub fn cost(record: &Record) -> String {
    let mut text = head(record);
    if let Some((first, last)) = record.latency.first().zip(record.latency.last()) {
        text += &latency(first, last);
    }
    if !record.throughput.is_empty() {
        text += &throughput(&record.throughput);
    }
    if !record.idle.is_empty() {
        text += &idle(&record.idle);
    }
    if !record.aot.is_empty() {
        text += &aot(&record.aot);
    }
    if !record.kernels.is_empty() {
        text += &speed::kernels("**Compute kernels**", &record.kernels);
    }
    if !record.files.is_empty() {
        text += &speed::kernels("**Files**", &record.files);
    }
    if !record.http.is_empty() {
        text += &http(&record.http);
    }
    text
}

fn latency(first: &Latency, last: &Latency) -> String {
    let mut text = format!(
        "\n**Latency** of a short task, ms ({} rounds)\n\n\
         | | {} p50 | p95 | p99 | {} p50 | p95 | p99 | ratio of p50 (95 %) |\n|---|--:|--:|--:|--:|--:|--:|---|\n",
        first.samples.len(),
        first.subject.short_name(),
        last.subject.short_name()
    );
    for (name, step) in STEPS.into_iter().filter(|(name, _)| *name != "exit") {
        let _ = write!(text, "| {name}");
        for of in [first, last] {
            let summary = stats::summary(&times(of, step));
            let _ = write!(text, " | {:.1} | {:.1} | {:.1}", summary.p50, summary.p95, summary.p99);
        }
        let _ = writeln!(text, " | {} |", interval(&stats::ratio(&times(last, step), &times(first, step))));
    }
    text
}

fn throughput(results: &[Throughput]) -> String {
    let (first, last) = (&results[0].subject, &results[results.len() - 1].subject);
    let mut text = format!(
        "\n**Tasks per second**\n\n| at a time | {} | {} | ratio (95 %) |\n|--:|--:|--:|---|\n",
        first.short_name(),
        last.short_name()
    );
    for base in results.iter().filter(|result| result.subject == *first) {
        let same = |result: &&Throughput| result.subject == *last && result.parallel == base.parallel;
        let Some(ours) = results.iter().find(same) else { continue };
        let (base_rates, our_rates) = (start::rates(base), start::rates(ours));
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | {} |",
            base.parallel,
            percentile(&base_rates, 50.0),
            percentile(&our_rates, 50.0),
            interval(&stats::ratio(&our_rates, &base_rates))
        );
    }
    text
}

fn idle(results: &[Idle]) -> String {
    let mut text = "\n**Memory** of sleeping containers, PSS in MB\n\n\
                    | | containers | all, per container | shim | container's process | engine host | answered an exec, ended by SIGTERM |\n\
                    |---|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for result in results {
        let _ = writeln!(
            text,
            "| {} | {}{} | **{:.2}** | {} | {} | {} | {}, {} |",
            result.subject.short_name(),
            result.containers,
            if result.pod { " in a pod" } else { "" },
            megabytes(result.pss_per_container()),
            mean(&result.shims, |memory| memory.pss),
            mean(&result.inits, |memory| memory.pss),
            mean(&result.hosts, |memory| memory.pss),
            result.answered,
            result.stopped.map_or("–".to_owned(), |stopped| stopped.to_string())
        );
    }
    text
}

fn aot(results: &[Starts]) -> String {
    let mut text = "\n**First output** after the request for a container, ms (median)\n\n\
                    | | native code | |\n|---|---|--:|\n"
        .to_owned();
    for result in results {
        let program = if result.phase == Phase::Plain { result.subject.short_name() } else { result.program.clone() };
        let milliseconds = percentile(&result.samples, 50.0);
        let _ = writeln!(text, "| {program} | {} | {milliseconds:.0} |", phase(result.phase));
    }
    text
}

fn http(results: &[Http]) -> String {
    let mut text = "\n**HTTP**\n\n| | connections | requests/s | ratio (95 %) | server's CPU per request, µs |\n\
                    |---|--:|--:|---|--:|\n"
        .to_owned();
    for result in results {
        let first = results.iter().find(|other| other.connections == result.connections).unwrap_or(result);
        let ratio = stats::ratio(&speed::rates(result), &speed::rates(first));
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {} | {:.1} |",
            result.subject.short_name(),
            result.connections,
            percentile(&speed::rates(result), 50.0),
            if first.subject == result.subject { "1".to_owned() } else { interval(&ratio) },
            percentile(&costs(result), 50.0)
        );
    }
    text
}
