//! The run as Markdown.

mod cost;
mod memory;
mod speed;
mod start;

use std::fmt::Write;

use crate::record::Record;
use crate::stats::Ratio;

pub use cost::cost;
pub use start::{STEPS, rates, times};

/// Load per CPU before the run from which on its figures mean little.
const BUSY: f64 = 0.3;

/// All tables, those that were measured.
pub fn markdown(record: &Record) -> String {
    let mut text = head(record);
    if !record.latency.is_empty() {
        text += &start::latency(&record.latency);
    }
    if !record.throughput.is_empty() {
        text += &start::throughput(&record.throughput);
    }
    if !record.idle.is_empty() {
        text += &memory::idle(&record.idle);
    }
    if !record.aot.is_empty() {
        text += &start::aot(&record.aot);
    }
    if !record.kernels.is_empty() {
        text += &speed::kernels("## Compute kernels", &record.kernels);
    }
    if !record.files.is_empty() {
        text += &speed::kernels("## Files", &record.files);
    }
    if !record.http.is_empty() {
        text += &speed::http(&record.http);
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

/// A ratio with its interval.
fn interval(ratio: &Ratio) -> String {
    format!("{:.2} ({:.2}–{:.2})", ratio.ratio, ratio.low, ratio.high)
}

/// The same, or `1` for the first, which all are compared with.
fn to_first(index: usize, ratio: &Ratio) -> String {
    if index == 0 { "1".to_owned() } else { interval(ratio) }
}
