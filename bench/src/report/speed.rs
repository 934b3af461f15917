//! Tables of what runs for long: kernels, files and HTTP.

use std::fmt::Write;

use super::{interval, to_first};
use crate::http::{Http, Round};
use crate::kernels::{self, Kernel};
use crate::stats;

/// A row for each kernel, with its time in the first variant and the ratios of the others; their geometric means last.
pub fn kernels(title: &str, results: &[Kernel]) -> String {
    let compared = kernels::compare(results);
    let Some(first) = results.first().map(|result| &result.variant) else { return String::new() };
    let mut text = format!("\n{title} ({} rounds)\n\n| | {}, ms", results[0].samples.len(), first.name);
    for one in &compared {
        let _ = write!(text, " | {} (95 %)", one.variant.name);
    }
    let _ = write!(text, " |\n|---|--:{} |\n", "|---".repeat(compared.len()));
    for (row, result) in results.iter().filter(|result| result.variant == *first).enumerate() {
        let _ = write!(text, "| {} | {:.3}", result.kernel, stats::percentile(&result.samples, 50.0) / 1e6);
        for one in &compared {
            let _ = write!(text, " | {}", one.ratios.get(row).map_or("–".to_owned(), |(_, ratio)| interval(ratio)));
        }
        text += " |\n";
    }
    text += "| **geometric mean** | ";
    for one in &compared {
        let _ = write!(text, " | **{:.2}**", one.geometric_mean);
    }
    text + " |\n"
}

/// Requests per second, round by round.
pub fn rates(of: &Http) -> Vec<f64> {
    of.rounds.iter().map(Round::rate).collect()
}

/// Microseconds of the server's processor time for a request, round by round.
pub fn costs(of: &Http) -> Vec<f64> {
    of.rounds.iter().map(Round::cost).collect()
}

pub fn http(results: &[Http]) -> String {
    let mut text = "\n## HTTP\n\n\
                    | runtime | connections | requests/s, median | lowest | highest | to the first runtime's (95 %) | server's CPU per request, µs | to the first runtime's (95 %) |\n\
                    |---|--:|--:|--:|--:|---|--:|---|\n"
        .to_owned();
    for result in results {
        let first = results.iter().find(|other| other.connections == result.connections).unwrap_or(result);
        let index = usize::from(first.subject != result.subject);
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {} | {:.1} | {} |",
            result.subject.label,
            result.connections,
            stats::percentile(&rates(result), 50.0),
            stats::percentile(&rates(result), 0.0),
            stats::percentile(&rates(result), 100.0),
            to_first(index, &stats::ratio(&rates(result), &rates(first))),
            stats::percentile(&costs(result), 50.0),
            to_first(index, &stats::ratio(&costs(result), &costs(first)))
        );
    }
    text
}
