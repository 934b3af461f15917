//! What /proc says of processes: memory (proc(5), `smaps_rollup`), parents, command lines.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Memory of one process in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Resident, shared pages counted in full.
    pub rss: u64,
    /// Resident, each shared page divided by the number of its users.
    pub pss: u64,
    /// Private_Clean and Private_Dirty: what would be free without the process.
    pub private: u64,
    /// The part of `private` that no file backs: what each further process of the kind costs at least.
    pub private_dirty: u64,
}

/// The memory of process `pid`.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse(&text).with_context(|| format!("{path} has an unknown form"))
}

fn parse(smaps: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        let line = smaps.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    };
    let private_dirty = field("Private_Dirty")?;
    let private = field("Private_Clean")? + private_dirty;
    Some(Memory { rss: field("Rss")?, pss: field("Pss")?, private, private_dirty })
}

/// The proportional set size of all processes but those called `name`, in bytes.
pub fn all_but(name: &str) -> Result<u64> {
    let is_other = |words: &[String]| words.first().is_none_or(|first| first.rsplit('/').next() != Some(name));
    let others = processes()?.into_iter().filter(|(_, words)| is_other(words));
    // One that has ended meanwhile has none.
    Ok(others.filter_map(|(pid, _)| memory(pid).ok()).map(|memory| memory.pss).sum())
}

/// Processor time of the one thread of process `pid` (Documentation/scheduler/sched-stats of Linux, `schedstat`).
pub fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    Ok(Duration::from_nanos(nanoseconds.with_context(|| format!("{path} has an unknown form"))?))
}

/// The shims of the containers whose id `is_wanted`: containerd names it in their arguments.
pub fn shims(is_wanted: impl Fn(&str) -> bool) -> Result<Vec<u32>> {
    let is_shim = |words: &[String]| words[0].contains("shim") && words.iter().any(|word| is_wanted(word));
    Ok(processes()?.into_iter().filter(|(_, words)| is_shim(words)).map(|(pid, _)| pid).collect())
}

/// The engine hosts among the ancestors of `pid`. A container forked from a host looks like one; the oldest is it.
pub fn engine_host(pid: u32) -> Result<Option<u32>> {
    let mut found = None;
    let mut next = parent(pid)?;
    while next > 1 {
        if is_engine_host(&command_line(next).unwrap_or_default()) {
            found = Some(next);
        }
        next = parent(next)?;
    }
    Ok(found)
}

fn is_engine_host(words: &[String]) -> bool {
    words.iter().any(|word| word.contains("wasmedge-engine")) && words.iter().any(|word| word == "host")
}

fn parent(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:")).and_then(|word| word.trim().parse().ok());
    parent.with_context(|| format!("{path} names no parent"))
}

/// Every process with its arguments; not the kernel's threads, nor those that have ended meanwhile.
fn processes() -> Result<Vec<(u32, Vec<String>)>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc").context("listing /proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        match command_line(pid) {
            Some(words) if !words.is_empty() => processes.push((pid, words)),
            _ => {}
        }
    }
    Ok(processes)
}

fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_the_clean_and_the_dirty() {
        let text = "5581-7ffd ---p 00000000 00:00 0    [rollup]\nRss:   2000 kB\nPss:   500 kB\nPss_Dirty:  100 kB\n\
                    Private_Clean:  10 kB\nPrivate_Dirty:  90 kB\n";
        let expected = Memory { rss: 2000 * 1024, pss: 500 * 1024, private: 100 * 1024, private_dirty: 90 * 1024 };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn our_own_memory_can_be_read() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.private > 0 && memory.private <= memory.pss && memory.pss <= memory.rss);
    }
}
