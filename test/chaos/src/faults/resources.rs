//! Resources that are missing for a moment, and system calls that fail.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread::sleep,
    time::Duration,
};

use e2e::{Command, command, process::Process, tracer::Tracer, within};

use super::processes;
use crate::calm;

/// Lets a process have `more` descriptors than it has, and no others.
pub(super) fn few_descriptors(process: Option<Process>, more: u64, time: Duration) -> bool {
    let Some(process) = process else { return false };
    let Some(before) = limit(&process, "Max open files") else { return false };
    let limit = process.descriptors().len() as u64 + more;
    let set = |soft: u64| prlimit(&process, &format!("--nofile={soft}:")).finish().code == 0;
    let done = set(limit);
    sleep(time);
    set(before);
    done
}

/// A soft limit of a process.
fn limit(process: &Process, name: &str) -> Option<u64> {
    let limits = fs::read_to_string(process.file("limits")).ok()?;
    limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

fn prlimit(process: &Process, limit: &str) -> Command {
    command("prlimit").args(["--pid", &process.pid.to_string(), limit])
}

/// A worker that gets no more memory, or not much.
pub(super) fn tight_worker(measure: u64) -> bool {
    let Some(worker) = within(Duration::from_millis(300), processes::worker) else { return false };
    calm::tighten();
    let bytes = measure % 64 * 65_536;
    let limit = if measure & 64 == 0 { format!("--as={bytes}:") } else { format!("--data={bytes}:") };
    prlimit(&worker, &limit).finish().code == 0
}

/// Fills the disk on which `directory` is, for a time.
pub(super) fn fill(directory: &str, time: Duration) -> bool {
    let path = Path::new(directory).join("chaos-fill");
    let Ok(mut file) = File::create(&path) else { return false };
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file);
    sleep(time);
    fs::remove_file(&path).is_ok()
}

/// What strace(1) is to do to a host whose disk has errors: one of some calls fails, once or often.
pub(super) fn bad_calls(measure: u64) -> String {
    const CALLS: [&str; 7] = ["write", "fsync", "openat", "mount", "mkdir", "rename,renameat2", "read"];
    let call = CALLS[usize::try_from(measure % 7).unwrap_or(0)];
    let nth = 1 + measure / 7 % 40;
    format!("{call}:error=EIO:when={nth}+{}", 5 + measure / 280 % 20)
}

/// As [`bad_calls`], of a disk that takes its time.
pub(super) fn slow_calls(measure: u64) -> String {
    format!("write,fsync,openat,mount,rename:delay_enter={}", 1000 + measure % 20_000)
}

/// Lets strace(1) inject into the host and what it forks, for a time.
pub(super) fn trace_host(injection: &str, time: Duration) -> bool {
    let Some(host) = processes::host() else { return false };
    let (calls, _) = injection.split_once(':').unwrap_or((injection, ""));
    let options = ["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={injection}")];
    let Some(tracer) = Tracer::try_attach(&host, options) else { return false };
    sleep(time);
    tracer.detach()
}
