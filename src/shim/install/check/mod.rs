//! `check`: what keeps containers from running on this node, and what repairs it.

mod configured;
mod engine;
mod node;

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::{options::Options, root::Root, target};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Containers run, but something is missing.
    Warning,
    /// Containers do not run.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub repair: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(found: impl Into<String>) -> Self {
        Self { level: Level::Ok, found: found.into(), repair: None }
    }

    /// Something is missing.
    pub fn warning(found: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Warning, found: found.into(), repair: Some(repair.into()) }
    }

    /// Nothing runs.
    pub fn fault(found: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { level: Level::Fault, found: found.into(), repair: Some(repair.into()) }
    }
}

/// Looks at everything and prints it. The exit status is 1 if there is a fault.
///
/// # Errors
/// There is nothing to look at.
pub fn command(options: &Options, root: &Root) -> Result<ExitCode> {
    let findings = findings(options, root)?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&findings)?),
        false => findings.iter().for_each(print),
    }
    let faults = findings.iter().filter(|finding| finding.level == Level::Fault).count();
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn findings(options: &Options, root: &Root) -> Result<Vec<Finding>> {
    let mut findings = node::findings(root);
    let mut shims = Vec::new();
    for target in target::chosen(options, root)? {
        let (found, shim) = configured::findings(&target, root);
        findings.extend(found);
        shims.extend(shim);
    }
    shims.sort();
    shims.dedup();
    findings.extend(shims.iter().map(|shim| engine::self_test(root, shim)));
    Ok(findings)
}

fn print(finding: &Finding) {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Fault => "FAULT",
    };
    println!("{level:8} {}", finding.found);
    finding.repair.iter().for_each(|repair| println!("{:8} -> {repair}", ""));
}
