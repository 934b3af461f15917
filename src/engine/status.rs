//! `wasmedge-engine status`: what runs on the node, for people.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail, ensure};
use indicatif::{HumanBytes, HumanDuration};
use lexopt::{Arg, Parser};
use serde::Serialize;
use wasmedge_shim_protocol::{Error, Location};

use crate::metrics::{Answer, ContainerReport, HostReport, Node, ask_all};

/// Who asks.
const PROGRAM: &str = concat!("wasmedge-engine status ", env!("CARGO_PKG_VERSION"));

/// All of it, as `--json` prints it.
#[derive(Serialize)]
struct Status {
    hosts: Vec<HostReport>,
    /// Hosts that do not answer, or are of a version that does not tell.
    silent: Vec<Silent>,
    #[serde(flatten)]
    node: Node,
}

#[derive(Serialize)]
struct Silent {
    pid: Option<i32>,
    cause: String,
}

/// Parses the arguments and tells.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let mut json = false;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("json") => json = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let status = Status::ask(&Location::default())?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        status.print();
    }
    Ok(ExitCode::SUCCESS)
}

impl Status {
    /// # Errors
    /// This process may not ask, or there is nothing to tell of.
    fn ask(location: &Location) -> Result<Self> {
        let root = location.root().display();
        ensure!(nix::unistd::geteuid().is_root(), "status is for root: what is in {root} is root's alone");
        let (mut hosts, mut silent) = (Vec::new(), Vec::new());
        for answer in ask_all(location, None, PROGRAM) {
            match answer {
                Ok(Answer::Report(report)) => hosts.push(*report),
                Ok(Answer::Silent(pid, cause)) => silent.push(Silent { pid: Some(pid), cause }),
                Err((_, error @ Error::Silent { pid, .. })) => silent.push(Silent { pid, cause: error.to_string() }),
                Err((socket, error)) => {
                    silent.push(Silent { pid: None, cause: format!("{}: {error}", socket.display()) })
                }
            }
        }
        let node = Node::look(location);
        if hosts.is_empty() && silent.is_empty() && node.containers.is_empty() {
            bail!("no engine host runs on this node: nobody listens in {root}, and no container runs");
        }
        Ok(Self { hosts, silent, node })
    }

    fn print(&self) {
        self.print_hosts();
        let Node { containers, ended, compilers, cache, .. } = &self.node;
        println!();
        print_containers(containers);
        if *ended > 0 {
            println!("{ended} more have ended and are not deleted");
        }
        println!();
        let most = if compilers.most == 0 { String::new() } else { format!(" of at most {}", compilers.most) };
        let done: Vec<String> = compilers
            .levels
            .iter()
            .filter_map(|level| {
                let count: u64 = level.ended.iter().map(|(_, count)| count).sum();
                let failed = count - level.ended[0].1;
                (count > 0)
                    .then(|| format!("{}: {count} ({failed} without success), {:.1} s", level.level, level.seconds))
            })
            .collect();
        println!("compilers: {} at work{most}, {} modules wait", compilers.running, compilers.waiting);
        if !done.is_empty() {
            println!("compiled since boot: {}", done.join("; "));
        }
        let limit = if cache.limit_bytes == 0 {
            String::new()
        } else {
            format!(" of at most {}", HumanBytes(cache.limit_bytes))
        };
        println!(
            "cache: {} entries, {}; {} of other engines, {}{limit}; {} have had to go since boot",
            cache.entries,
            HumanBytes(cache.bytes),
            cache.other_entries,
            HumanBytes(cache.other_bytes),
            cache.evictions
        );
    }

    fn print_hosts(&self) {
        if self.hosts.is_empty() && self.silent.is_empty() {
            println!("no engine host runs: the containers go on without, and the next request starts one");
        }
        for host in &self.hosts {
            let up = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(host.started_unix_millis);
            let up = HumanDuration(up.elapsed().unwrap_or_default());
            println!(
                "engine host {}: version {} (WasmEdge {}), up {up}, {}",
                host.pid, host.version, host.wasmedge, host.engine
            );
            let workers = host.workers;
            println!(
                "  {} shims, {} containers; workers: {} create, {} exec, {} delete, {} other, {} of them wait for a compiler",
                host.shims,
                host.containers,
                workers.creating,
                workers.executing,
                workers.deleting,
                workers.other,
                workers.waiting
            );
            let [wasm, linux, unknown] = &host.counts.creations;
            println!(
                "  created: {} Wasm, {} Linux, {} failed; {} out of memory; native code found {} times, not found {} times",
                wasm.done,
                linux.done,
                wasm.failed + linux.failed + unknown.failed,
                host.counts.oom_killed,
                host.counts.cache_hits,
                host.counts.cache_misses
            );
            let metrics = if host.metrics.is_empty() { "off".to_owned() } else { host.metrics.join(", ") };
            println!("  settings: requests may take {} s, metrics: {metrics}", host.patience_seconds);
        }
        for Silent { pid, cause } in &self.silent {
            let pid = pid.map(|pid| format!(" {pid}")).unwrap_or_default();
            println!("engine host{pid}: {cause}");
        }
    }
}

/// A table whose columns are as wide as they have to be.
fn print_containers(containers: &[ContainerReport]) {
    let heads = ["NAMESPACE", "ID", "POD", "PROGRAM", "PID", "AGE", "CODE", "LINEAR MEMORY", "GAS", "INSTRUCTIONS"];
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(containers.iter().map(row));
    let widths: [usize; 10] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", cells.join("  ").trim_end());
    }
}

fn row(one: &ContainerReport) -> [String; 10] {
    let none = || "-".to_owned();
    let shown = |text: &str| crate::journal::escaped(text);
    let id = one.id.get(..12).filter(|_| one.id.len() == 64).unwrap_or(&one.id);
    let pod = one.pod.as_ref().map_or_else(none, |pod| match &*pod.container {
        "" => shown(&format!("{}/{}", pod.namespace, pod.name)),
        container => shown(&format!("{}/{}/{container}", pod.namespace, pod.name)),
    });
    let gas = one.gas.map(|gas| match one.gas_limit {
        Some(limit) => format!("{gas} of {limit}"),
        None => gas.to_string(),
    });
    [
        shown(&one.namespace),
        shown(id),
        pod,
        shown(&one.program),
        one.pid.to_string(),
        HumanDuration(Duration::from_secs(one.age_seconds)).to_string(),
        one.code.clone().unwrap_or_else(|| "Linux".to_owned()),
        one.linear_memory_bytes.map_or_else(none, |bytes| HumanBytes(bytes).to_string()),
        gas.unwrap_or_else(none),
        one.instructions.map_or_else(none, |count| count.to_string()),
    ]
}
