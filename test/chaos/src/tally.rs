//! What is counted and measured over a run, and the line that tells it.

use std::{collections::BTreeMap, fs};

use e2e::process::Process;

use crate::{
    lifecycle::Played,
    plan::{Fault, Plan},
    slopes::{Samples, Slope},
};

/// How much memory may grow with a thousand lifecycles, in kB, and how many descriptors.
const BOUNDS: (f64, f64) = (256.0, 2.0);

/// The same of a process that warms up, in all.
const WARMING: (f64, f64) = (512.0, 4.0);

/// One process's memory and descriptors.
#[derive(Default)]
struct Growth {
    memory: Samples,
    descriptors: Samples,
}

/// The sums.
#[derive(Default)]
pub struct Tally {
    lifecycles: u64,
    undisturbed: u64,
    refused: u64,
    faults: BTreeMap<Fault, u64>,
    findings: u64,
    left: u64,
    host: Growth,
    shim: Growth,
}

impl Tally {
    /// Counts a lifecycle.
    pub fn add(&mut self, plan: &Plan, played: &Played) {
        let findings = &played.findings;
        self.lifecycles += 1;
        self.undisturbed += u64::from(played.undisturbed);
        self.refused += played.refused;
        if let Some((fault, _)) = plan.fault.filter(|_| played.happened) {
            *self.faults.entry(fault).or_default() += 1;
        }
        for finding in findings {
            println!("FOUND {finding}\n  {plan}");
        }
        let left = findings.iter().filter(|finding| finding.starts_with("left of ")).count() as u64;
        self.left += left;
        self.findings += findings.len() as u64 - left;
    }

    /// Counts what was found between lifecycles.
    pub fn found(&mut self, findings: &[String]) {
        findings.iter().for_each(|finding| println!("FOUND {finding}\n  after {} lifecycles", self.lifecycles));
        self.findings += findings.len() as u64;
    }

    /// Counts what the node holds more than before.
    pub fn left(&mut self, differences: &[String]) {
        differences.iter().for_each(|what| println!("LEFT {what}\n  after {} lifecycles", self.lifecycles));
        self.left += differences.len() as u64;
    }

    /// How often a fault has happened.
    pub fn faults(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How many findings there have been.
    pub fn bad(&self) -> u64 {
        self.findings + self.left
    }

    /// Measures the host and the shim that lives on.
    pub fn sample(&mut self, host: Option<&Process>, shim: Option<&Process>) {
        let at = self.lifecycles as f64;
        for (growth, process, name) in [(&mut self.host, host, "host"), (&mut self.shim, shim, "shim")] {
            let Some((process, memory)) = process.and_then(|process| Some((process, memory(process)?))) else {
                continue;
            };
            let descriptors = process.descriptors().len() as f64;
            growth.memory.add((process.pid, process.start), at, memory);
            growth.descriptors.add((process.pid, process.start), at, descriptors);
            println!("after {at} lifecycles: {name} {} has {memory} kB, {descriptors} descriptors", process.pid);
        }
    }

    /// Prints the slopes and the closing line; whether all is well.
    pub fn close(&self, name: &str) -> bool {
        let faults: u64 = self.faults.values().sum();
        let kinds: Vec<String> = self.faults.iter().map(|(fault, count)| format!("{fault:?} {count}")).collect();
        let mut flat = true;
        let mut told = Vec::new();
        for (who, growth) in [("host", &self.host), ("shim", &self.shim)] {
            let bounds = [(&growth.memory, BOUNDS.0, WARMING.0), (&growth.descriptors, BOUNDS.1, WARMING.1)];
            flat &= bounds.iter().all(|(samples, bound, warming)| {
                samples.warming() <= *warming && samples.slope().is_none_or(|slope| !slope.is_above(*bound))
            });
            let [memory, descriptors] = bounds.map(|(samples, ..)| text(samples));
            told.push(format!("{who} memory {memory} kB/1000, descriptors {descriptors}/1000"));
        }
        println!("{} lifecycles were undisturbed, {} verbs were refused by others", self.undisturbed, self.refused);
        println!(
            "{name}: {} lifecycles, {faults} faults ({}), {} in an unknown state, {} left behind; {}{}",
            self.lifecycles,
            kinds.join(", "),
            self.findings,
            self.left,
            told.join("; "),
            if flat { "" } else { "; NOT FLAT" },
        );
        flat && self.bad() == 0
    }
}

/// By how much it warmed up, and the slope with its error where there were samples enough.
fn text(samples: &Samples) -> String {
    let slope = samples
        .slope()
        .map_or("not known".into(), |Slope { per_thousand, error }| format!("{per_thousand:+.1} ±{error:.1}"));
    format!("+{} warming up, then {slope}", samples.warming())
}

/// What a process has of its own, in kB: what it shares with its forks comes and goes with them.
fn memory(process: &Process) -> Option<f64> {
    let status = fs::read_to_string(process.file("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}
