//! Resources of a spec, as files of a cgroup (kernel documentation, `admin-guide/cgroup-v1` and `cgroup-v2`).

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its name.
    pub file: String,
    /// Its new content.
    pub value: String,
}

/// Reads a file of the container's cgroups.
pub type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Whether these directories are those of cgroup v2, which is one that has this file.
pub fn is_v2(directories: &[PathBuf]) -> bool {
    directories.len() == 1 && directories[0].join("cgroup.controllers").exists()
}

/// Writes a file, in whichever hierarchy has it.
///
/// # Errors
/// Names the file and the value.
pub fn write(directories: &[PathBuf], file: &str, value: &str) -> Result<()> {
    ensure!(is_file_name(file), "{file:?} is no file of the container's cgroup");
    let path = directories.iter().map(|directory| directory.join(file)).find(|path| path.exists());
    let path = path.with_context(|| format!("the container's cgroup has no {file} to set to {value}"))?;
    fs::write(&path, value).with_context(|| format!("cannot write {value} to {}", path.display()))
}

/// Whether this names a file of a directory itself: names are among what a spec says (`unified`, page sizes).
pub fn is_file_name(file: &str) -> bool {
    !file.is_empty() && !file.contains(['/', '\0']) && file != "." && file != ".."
}

/// What to write, in an order in which the kernel takes it. Resources that are not mentioned are left alone, and so is
/// 0, by which clients say the same.
pub fn changes(resources: &LinuxResources, v2: bool, read: Read<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(memory) = resources.memory() {
        changes.extend(if v2 { memory_v2(memory, read) } else { memory_v1(memory, read) });
    }
    if let Some(cpu) = resources.cpu() {
        changes.extend(if v2 { cpu_v2(cpu, read) } else { cpu_v1(cpu) });
    }
    if let Some(limit) = resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit).filter(|limit| *limit != 0)
    {
        changes.push(change("pids.max", or_max(limit)));
    }
    if let Some(io) = resources.block_io() {
        changes.extend(if v2 { io_v2(io, read) } else { io_v1(io, read) });
    }
    for huge in resources.hugepage_limits().iter().flatten() {
        let file = if v2 { "max" } else { "limit_in_bytes" };
        changes.push(change(&format!("hugetlb.{}.{file}", huge.page_size()), huge.limit()));
        let reserved = format!("hugetlb.{}.rsvd.{file}", huge.page_size());
        changes.extend(read(&reserved).map(|_| change(&reserved, huge.limit())));
    }
    if v2 {
        let unified = resources.unified().iter().flatten();
        changes.extend(unified.map(|(file, value)| change(file, value)));
    }
    changes
}

fn change(file: &str, value: impl ToString) -> Change {
    Change { file: file.to_owned(), value: value.to_string() }
}

fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// The limit of memory may never be above that of memory and swap together.
fn memory_v1(memory: &LinuxMemory, read: Read<'_>) -> Vec<Change> {
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = given(memory.limit());
    // Unlimited memory takes unlimited swap with it, as in runc.
    let swap = given(memory.swap()).or((limit == Some(-1)).then_some(-1));
    let limit_change = limit.map(|limit| change("memory.limit_in_bytes", limit));
    let swap_change = swap.map(|swap| change("memory.memsw.limit_in_bytes", swap));
    let present = read("memory.memsw.limit_in_bytes").and_then(|text| text.trim().parse::<u64>().ok());
    let swap_first = limit.is_some_and(|limit| {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        present.is_some_and(|present| limit > present)
    });
    let mut changes: Vec<Change> = match swap_first {
        true => swap_change.into_iter().chain(limit_change).collect(),
        false => limit_change.into_iter().chain(swap_change).collect(),
    };
    changes.extend(given(memory.reservation()).map(|bytes| change("memory.soft_limit_in_bytes", bytes)));
    changes.extend(memory.swappiness().map(|percent| change("memory.swappiness", percent)));
    changes
}

/// On cgroup v2 swap is counted by itself, in a spec together with memory.
fn memory_v2(memory: &LinuxMemory, read: Read<'_>) -> Vec<Change> {
    let given = |value: Option<i64>| value.filter(|value| *value != 0);
    let mut changes = Vec::new();
    let limit = given(memory.limit());
    let swap = given(memory.swap()).or((limit == Some(-1)).then_some(-1));
    if let Some(swap) = swap {
        let present = || read("memory.max").and_then(|text| text.trim().parse::<i64>().ok());
        let alone = match (swap, limit.or_else(present)) {
            (swap, Some(limit)) if swap > 0 && limit > 0 => (swap - limit).max(0),
            (swap, _) => swap,
        };
        changes.push(change("memory.swap.max", or_max(alone)));
    }
    changes.extend(limit.map(|limit| change("memory.max", or_max(limit))));
    changes.extend(given(memory.reservation()).map(|bytes| change("memory.low", or_max(bytes))));
    changes
}

fn cpu_v1(cpu: &LinuxCpu) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(cpu.shares().filter(|shares| *shares != 0).map(|shares| change("cpu.shares", shares)));
    changes.extend(cpu.period().filter(|period| *period != 0).map(|period| change("cpu.cfs_period_us", period)));
    changes.extend(cpu.quota().filter(|quota| *quota != 0).map(|quota| change("cpu.cfs_quota_us", quota)));
    changes.extend(cpu.burst().filter(|us| *us != 0).map(|us| change("cpu.cfs_burst_us", us)));
    changes.extend(cpu.realtime_period().filter(|us| *us != 0).map(|us| change("cpu.rt_period_us", us)));
    changes.extend(cpu.realtime_runtime().filter(|us| *us != 0).map(|us| change("cpu.rt_runtime_us", us)));
    changes.extend(cpu.idle().map(|idle| change("cpu.idle", idle)));
    changes.extend(sets(cpu));
    changes
}

fn cpu_v2(cpu: &LinuxCpu, read: Read<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(cpu.idle().map(|idle| change("cpu.idle", idle)));
    changes.extend(cpu.shares().filter(|shares| *shares != 0).map(|shares| change("cpu.weight", weight(shares))));
    let (quota, period) = (cpu.quota().filter(|quota| *quota != 0), cpu.period().filter(|period| *period != 0));
    if quota.is_some() || period.is_some() {
        let present = read("cpu.max").unwrap_or_default();
        let mut present = present.split_whitespace();
        let (old_quota, old_period) = (present.next().unwrap_or("max"), present.next().unwrap_or("100000"));
        let quota = quota.map_or(old_quota.to_owned(), or_max);
        let period = period.map_or(old_period.to_owned(), |period| period.to_string());
        changes.push(change("cpu.max", format!("{quota} {period}")));
    }
    changes.extend(sets(cpu));
    changes
}

fn sets(cpu: &LinuxCpu) -> Vec<Change> {
    let given = |set: &Option<String>| set.clone().filter(|set| !set.is_empty());
    let cpus = given(cpu.cpus()).map(|set| change("cpuset.cpus", set));
    cpus.into_iter().chain(given(cpu.mems()).map(|set| change("cpuset.mems", set))).collect()
}

/// Shares of cgroup v1 (2 to 262144, 1024 is usual) as a weight of v2 (1 to 10000, 100 is usual): the quadratic
/// formula that runc uses since 1.3.2, which maps these three points onto each other.
pub fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
    }
}

fn io_v1(io: &LinuxBlockIo, read: Read<'_>) -> Vec<Change> {
    let file = if read("blkio.bfq.weight").is_some() { "blkio.bfq.weight" } else { "blkio.weight" };
    let weight = io.weight().filter(|weight| *weight != 0);
    let mut changes: Vec<Change> = weight.map(|weight| change(file, weight)).into_iter().collect();
    for (file, devices) in [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ] {
        changes.extend(devices.iter().flatten().map(|device| change(file, throttle(device, ""))));
    }
    changes
}

/// Weights of cgroup v1 go from 10 to 1000, those of v2 from 1 to 10000; the scheduler BFQ keeps v1's.
fn io_v2(io: &LinuxBlockIo, read: Read<'_>) -> Vec<Change> {
    let weight = io.weight().filter(|weight| *weight != 0).map(|weight| {
        if read("io.bfq.weight").is_some() {
            return change("io.bfq.weight", weight);
        }
        change("io.weight", 1 + u64::from(weight).saturating_sub(10) * 9999 / 990)
    });
    let mut changes: Vec<Change> = weight.into_iter().collect();
    for (key, devices) in [
        ("rbps=", io.throttle_read_bps_device()),
        ("wbps=", io.throttle_write_bps_device()),
        ("riops=", io.throttle_read_iops_device()),
        ("wiops=", io.throttle_write_iops_device()),
    ] {
        changes.extend(devices.iter().flatten().map(|device| change("io.max", throttle(device, key))));
    }
    changes
}

fn throttle(device: &LinuxThrottleDevice, key: &str) -> String {
    format!("{}:{} {key}{}", device.major(), device.minor(), device.rate())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_cgroup_itself_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("own");
        fs::create_dir(&own).unwrap();
        fs::write(directory.path().join("cgroup.procs"), "").unwrap();
        let error = write(&[own], "../cgroup.procs", "1").unwrap_err().to_string();
        assert_eq!(error, "\"../cgroup.procs\" is no file of the container's cgroup");
    }

    fn changed(json: &str, v2: bool, present: &[(&str, &str)]) -> Vec<String> {
        let resources: LinuxResources = serde_json::from_str(json).unwrap();
        let read = |name: &str| {
            let found = present.iter().find(|(file, _)| *file == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        changes(&resources, v2, &read).into_iter().map(|change| format!("{}={}", change.file, change.value)).collect()
    }

    #[test]
    fn memory_and_swap_of_version_1_come_in_the_order_that_the_kernel_takes() {
        let memory = r#"{"memory": {"limit": 200, "swap": 400}}"#;
        let (limit, swap) = ("memory.limit_in_bytes=200", "memory.memsw.limit_in_bytes=400");
        assert_eq!(changed(memory, false, &[("memory.memsw.limit_in_bytes", "100\n")]), [swap, limit]);
        assert_eq!(changed(memory, false, &[("memory.memsw.limit_in_bytes", "1000\n")]), [limit, swap]);
    }

    #[test]
    fn swap_of_version_2_is_without_memory() {
        assert_eq!(
            changed(r#"{"memory": {"limit": 200, "swap": 500}}"#, true, &[]),
            ["memory.swap.max=300", "memory.max=200"]
        );
        assert_eq!(changed(r#"{"memory": {"swap": 500}}"#, true, &[("memory.max", "100\n")]), ["memory.swap.max=400"]);
        assert_eq!(changed(r#"{"memory": {"limit": -1}}"#, true, &[]), ["memory.swap.max=max", "memory.max=max"]);
    }

    #[test]
    fn what_is_not_mentioned_or_zero_is_left_alone() {
        assert!(changed("{}", false, &[]).is_empty());
        assert!(
            changed(r#"{"memory": {"limit": 0}, "cpu": {"shares": 0}, "pids": {"limit": 0}}"#, true, &[]).is_empty()
        );
    }

    #[test]
    fn half_of_a_cpu_bandwidth_keeps_the_other_half() {
        assert_eq!(
            changed(r#"{"cpu": {"quota": 50000}}"#, true, &[("cpu.max", "max 200000\n")]),
            ["cpu.max=50000 200000"]
        );
        assert_eq!(changed(r#"{"cpu": {"period": 1000}}"#, true, &[("cpu.max", "7000 9000\n")]), ["cpu.max=7000 1000"]);
    }

    #[test]
    fn shares_and_weights_have_their_usual_values_and_ends_in_common() {
        assert_eq!([2, 1024, 262_144].map(weight), [1, 100, 10_000]);
        assert!(weight(512) < weight(1024) && weight(1024) < weight(2048));
    }

    #[test]
    fn the_weight_of_block_io_is_that_of_the_scheduler_or_of_version_2() {
        let io = r#"{"blockIO": {"weight": 300}}"#;
        assert_eq!(changed(io, true, &[]), ["io.weight=2930"]);
        assert_eq!(changed(io, true, &[("io.bfq.weight", "100")]), ["io.bfq.weight=300"]);
        assert_eq!(changed(io, false, &[]), ["blkio.weight=300"]);
    }

    #[test]
    fn devices_are_throttled_by_number() {
        let io = r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 1000}]}}"#;
        assert_eq!(changed(io, false, &[]), ["blkio.throttle.read_bps_device=8:1 1000"]);
        assert_eq!(changed(io, true, &[]), ["io.max=8:1 rbps=1000"]);
    }
}
