//! The table of sleeping containers.

use std::fmt::Write;

use crate::idle::Idle;
use crate::proc::Memory;

pub fn idle(results: &[Idle]) -> String {
    let mut text = "\n## Memory of sleeping containers, MB (means; 1 MB = 1,000,000 bytes)\n\n\
                    | runtime | containers | shims | shim PSS | shim dirty | init private | init PSS | engine host PSS | engine host RSS | all PSS per container | answered an exec | ended by SIGTERM |\n\
                    |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for result in results {
        let _ = writeln!(
            text,
            "| {} | {}{} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {} | {} |",
            result.subject.label,
            result.containers,
            if result.pod { " in a pod" } else { "" },
            result.shims.len(),
            mean(&result.shims, |memory| memory.pss),
            mean(&result.shims, |memory| memory.private_dirty),
            mean(&result.inits, |memory| memory.private),
            mean(&result.inits, |memory| memory.pss),
            mean(&result.hosts, |memory| memory.pss),
            mean(&result.hosts, |memory| memory.rss),
            megabytes(result.pss_per_container()),
            result.answered,
            result.stopped.map_or("–".to_owned(), |stopped| stopped.to_string())
        );
    }
    text
}

/// The mean of a part of the memories in MB, or a dash for none.
pub fn mean(memories: &[Memory], part: fn(&Memory) -> u64) -> String {
    if memories.is_empty() {
        return "–".to_owned();
    }
    let sum: u64 = memories.iter().map(part).sum();
    format!("{:.2}", megabytes(sum) / memories.len() as f64)
}

/// Bytes in MB.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
