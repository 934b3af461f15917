//! Where a measurement was taken, and with which versions.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::containerd::Containerd;
use crate::subject::Subject;

/// The machine as the kernel describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub hostname: String,
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
}

impl Machine {
    /// Asks /proc.
    pub fn new() -> Result<Self> {
        let cpuinfo = read("/proc/cpuinfo")?;
        let meminfo = read("/proc/meminfo")?;
        Ok(Self {
            hostname: read("/proc/sys/kernel/hostname")?.trim().to_owned(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory: field(&meminfo, "MemTotal")
                .and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok())
                .unwrap_or_default()
                * 1024,
        })
    }
}

/// Bytes of memory that processes can still have.
pub fn free_memory() -> Result<u64> {
    let meminfo = read("/proc/meminfo")?;
    let kilobytes = field(&meminfo, "MemAvailable").and_then(|value| value.strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context("/proc/meminfo has an unknown form")? * 1024)
}

/// The load average of the last minute.
pub fn load() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split(' ').next().and_then(|word| word.parse().ok()).context("/proc/loadavg has an unknown form")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':')).map(str::trim)
}

/// Versions as the programs tell them, by name: containerd, runc, and each runtime's shim.
pub async fn versions(containerd: &Containerd, subjects: &[Subject]) -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    versions.insert("containerd".to_owned(), containerd.version().await?);
    versions.insert("runc".to_owned(), ask("runc", "--version"));
    for subject in subjects {
        let shim = shim_of(&subject.runtime);
        let answer = ask(&shim, "-v");
        versions.insert(shim, answer);
    }
    Ok(versions)
}

/// The program containerd runs for a runtime: `io.containerd.NAME.VERSION`, or a path.
fn shim_of(runtime: &str) -> String {
    let mut parts = runtime.rsplit('.');
    match (runtime.contains('/'), parts.next(), parts.next()) {
        (false, Some(version), Some(name)) => format!("containerd-shim-{name}-{version}"),
        _ => runtime.to_owned(),
    }
}

fn ask(program: &str, option: &str) -> String {
    let Ok(output) = Command::new(program).arg(option).output() else { return "not found".to_owned() };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.ends_with(':')).collect();
    lines.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_name_tells_its_shim() {
        assert_eq!(shim_of("io.containerd.wasmedge.v1"), "containerd-shim-wasmedge-v1");
        assert_eq!(shim_of("/opt/shim"), "/opt/shim");
    }
}
