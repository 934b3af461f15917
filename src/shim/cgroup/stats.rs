//! A container's metrics, in containerd's messages for cgroup v1 and v2.
//!
//! Files: kernel documentation, `admin-guide/cgroup-v1` and `admin-guide/cgroup-v2`.

use containerd_shim::{
    protos::{
        cgroups::metrics as v1,
        cgroups_v2::metrics as v2,
        protobuf::{MessageField, well_known_types::any::Any},
    },
    util::convert_to_any,
};

use super::{directories::Cgroups, io_stats};
use crate::error::{Result, TaskError};

/// Nanoseconds per tick of `cpuacct.stat`, whose ticks are 1/100 s on every architecture.
const NANOS_PER_TICK: u64 = 10_000_000;

/// The metrics of the container in `cgroups`.
pub fn collect(cgroups: &Cgroups) -> Result<Any> {
    let encoded = if cgroups.is_v2() {
        convert_to_any(Box::new(metrics_v2(cgroups)))
    } else {
        convert_to_any(Box::new(metrics_v1(cgroups)))
    };
    encoded.map_err(|error| TaskError::other(format!("cannot encode metrics: {error}")))
}

/// Sets the fields of a message that have a table's keys as names, or the names given for other keys.
macro_rules! fill {
    ($message:expr, $table:expr, { $($key:literal => $field:ident),* $(,)? }) => {
        for (key, value) in $table {
            match key.as_str() {
                $($key => $message.$field = value,)*
                _ => {}
            }
        }
    };
}

fn metrics_v1(cgroups: &Cgroups) -> v1::Metrics {
    v1::Metrics {
        cpu: MessageField::some(cpu_v1(cgroups)),
        memory: MessageField::some(memory_v1(cgroups)),
        memory_oom_control: MessageField::some(oom_v1(cgroups)),
        pids: MessageField::some(v1::PidsStat {
            current: cgroups.number("pids.current").unwrap_or_default(),
            // No limit is told as 0 here, and as the largest number in version 2.
            limit: cgroups.number("pids.max").filter(|limit| *limit != u64::MAX).unwrap_or_default(),
            ..Default::default()
        }),
        blkio: MessageField::some(io_stats::blkio_v1(cgroups)),
        hugetlb: io_stats::hugetlb_v1(cgroups),
        ..Default::default()
    }
}

fn cpu_v1(cgroups: &Cgroups) -> v1::CPUStat {
    let mut usage = v1::CPUUsage { total: cgroups.number("cpuacct.usage").unwrap_or_default(), ..Default::default() };
    let per_cpu = cgroups.read("cpuacct.usage_percpu").unwrap_or_default();
    usage.per_cpu = per_cpu.split_whitespace().filter_map(|value| value.parse().ok()).collect();
    for (key, ticks) in cgroups.table("cpuacct.stat") {
        match key.as_str() {
            "user" => usage.user = nanos(ticks),
            "system" => usage.kernel = nanos(ticks),
            _ => {}
        }
    }
    let mut throttling = v1::Throttle::default();
    fill!(throttling, cgroups.table("cpu.stat"), {
        "nr_periods" => periods, "nr_throttled" => throttled_periods, "throttled_time" => throttled_time,
    });
    v1::CPUStat { usage: MessageField::some(usage), throttling: MessageField::some(throttling), ..Default::default() }
}

/// Ticks of `cpuacct.stat` in nanoseconds.
pub fn nanos(ticks: u64) -> u64 {
    ticks.saturating_mul(NANOS_PER_TICK)
}

fn memory_v1(cgroups: &Cgroups) -> v1::MemoryStat {
    let mut memory = v1::MemoryStat::default();
    fill!(memory, cgroups.table("memory.stat"), {
        "cache" => cache, "rss" => rss, "rss_huge" => rss_huge, "mapped_file" => mapped_file, "dirty" => dirty,
        "writeback" => writeback, "pgpgin" => pg_pg_in, "pgpgout" => pg_pg_out, "pgfault" => pg_fault,
        "pgmajfault" => pg_maj_fault, "inactive_anon" => inactive_anon, "active_anon" => active_anon,
        "inactive_file" => inactive_file, "active_file" => active_file, "unevictable" => unevictable,
        "hierarchical_memory_limit" => hierarchical_memory_limit,
        "hierarchical_memsw_limit" => hierarchical_swap_limit, "total_cache" => total_cache, "total_rss" => total_rss,
        "total_rss_huge" => total_rss_huge, "total_mapped_file" => total_mapped_file, "total_dirty" => total_dirty,
        "total_writeback" => total_writeback, "total_pgpgin" => total_pg_pg_in, "total_pgpgout" => total_pg_pg_out,
        "total_pgfault" => total_pg_fault, "total_pgmajfault" => total_pg_maj_fault,
        "total_inactive_anon" => total_inactive_anon, "total_active_anon" => total_active_anon,
        "total_inactive_file" => total_inactive_file, "total_active_file" => total_active_file,
        "total_unevictable" => total_unevictable,
    });
    let entry = |prefix: &str| {
        let number = |name: &str| cgroups.number(&format!("{prefix}.{name}")).unwrap_or_default();
        MessageField::some(v1::MemoryEntry {
            limit: number("limit_in_bytes"),
            usage: number("usage_in_bytes"),
            max: number("max_usage_in_bytes"),
            failcnt: number("failcnt"),
            ..Default::default()
        })
    };
    memory.usage = entry("memory");
    memory.swap = entry("memory.memsw");
    memory.kernel = entry("memory.kmem");
    memory.kernel_tcp = entry("memory.kmem.tcp");
    memory
}

fn oom_v1(cgroups: &Cgroups) -> v1::MemoryOomControl {
    let mut control = v1::MemoryOomControl::default();
    fill!(control, cgroups.table("memory.oom_control"), {
        "oom_kill_disable" => oom_kill_disable, "under_oom" => under_oom, "oom_kill" => oom_kill,
    });
    control
}

fn metrics_v2(cgroups: &Cgroups) -> v2::Metrics {
    let mut cpu = v2::CPUStat::default();
    fill!(cpu, cgroups.table("cpu.stat"), {
        "usage_usec" => usage_usec, "user_usec" => user_usec, "system_usec" => system_usec,
        "nr_periods" => nr_periods, "nr_throttled" => nr_throttled, "throttled_usec" => throttled_usec,
        "nr_bursts" => nr_bursts, "burst_usec" => burst_usec,
    });
    cpu.psi = io_stats::pressure(cgroups, "cpu.pressure");
    let mut events = v2::MemoryEvents::default();
    fill!(events, cgroups.table("memory.events"), {
        "low" => low, "high" => high, "max" => max, "oom" => oom, "oom_kill" => oom_kill,
        "oom_group_kill" => oom_group_kill,
    });
    v2::Metrics {
        cpu: MessageField::some(cpu),
        memory: MessageField::some(memory_v2(cgroups)),
        memory_events: MessageField::some(events),
        pids: MessageField::some(v2::PidsStat {
            current: cgroups.number("pids.current").unwrap_or_default(),
            limit: cgroups.number("pids.max").unwrap_or_default(),
            ..Default::default()
        }),
        io: MessageField::some(io_stats::io_v2(cgroups)),
        hugetlb: io_stats::hugetlb_v2(cgroups),
        ..Default::default()
    }
}

fn memory_v2(cgroups: &Cgroups) -> v2::MemoryStat {
    let mut memory = v2::MemoryStat::default();
    fill!(memory, cgroups.table("memory.stat"), {
        "anon" => anon, "file" => file, "kernel_stack" => kernel_stack, "slab" => slab, "sock" => sock,
        "shmem" => shmem, "file_mapped" => file_mapped, "file_dirty" => file_dirty,
        "file_writeback" => file_writeback, "anon_thp" => anon_thp, "inactive_anon" => inactive_anon,
        "active_anon" => active_anon, "inactive_file" => inactive_file, "active_file" => active_file,
        "unevictable" => unevictable, "slab_reclaimable" => slab_reclaimable,
        "slab_unreclaimable" => slab_unreclaimable, "pgfault" => pgfault, "pgmajfault" => pgmajfault,
        "workingset_refault" => workingset_refault, "workingset_activate" => workingset_activate,
        "workingset_nodereclaim" => workingset_nodereclaim, "pgrefill" => pgrefill, "pgscan" => pgscan,
        "pgsteal" => pgsteal, "pgactivate" => pgactivate, "pgdeactivate" => pgdeactivate,
        "pglazyfree" => pglazyfree, "pglazyfreed" => pglazyfreed, "thp_fault_alloc" => thp_fault_alloc,
        "thp_collapse_alloc" => thp_collapse_alloc,
    });
    memory.psi = io_stats::pressure(cgroups, "memory.pressure");
    let number = |name| cgroups.number(name).unwrap_or_default();
    memory.usage = number("memory.current");
    memory.usage_limit = number("memory.max");
    memory.max_usage = number("memory.peak");
    memory.swap_usage = number("memory.swap.current");
    memory.swap_limit = number("memory.swap.max");
    memory.swap_max_usage = number("memory.swap.peak");
    memory
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn cgroup(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroups) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        (directory, cgroups)
    }

    #[test]
    fn version_1_times_are_nanoseconds() {
        let (_directory, cgroups) = cgroup(&[
            ("cpuacct.usage", "1500000000\n"),
            ("cpuacct.usage_percpu", "1000000000 500000000 \n"),
            ("cpuacct.stat", "user 100\nsystem 50\n"),
            ("memory.stat", "cache 1\npgpgin 2\ntotal_inactive_file 3\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("pids.current", "2\n"),
            ("pids.max", "max\n"),
        ]);
        let metrics = metrics_v1(&cgroups);
        assert_eq!((metrics.cpu.usage.total, metrics.cpu.usage.user), (1_500_000_000, 1_000_000_000));
        assert_eq!(metrics.cpu.usage.per_cpu, [1_000_000_000, 500_000_000]);
        let memory = &metrics.memory;
        assert_eq!((memory.cache, memory.pg_pg_in, memory.total_inactive_file, memory.usage.usage), (1, 2, 3, 4096));
        assert_eq!((metrics.pids.current, metrics.pids.limit), (2, 0));
    }

    #[test]
    fn the_message_is_that_of_the_cgroup_version() {
        let (_directory, v2) =
            cgroup(&[("cgroup.controllers", "cpu"), ("memory.current", "8192\n"), ("memory.max", "max\n")]);
        assert_eq!(collect(&v2).unwrap().type_url, "io.containerd.cgroups.v2.Metrics");
        assert_eq!((metrics_v2(&v2).memory.usage, metrics_v2(&v2).memory.usage_limit), (8192, u64::MAX));
        let (_directory, v1) = cgroup(&[]);
        assert_eq!(collect(&v1).unwrap().type_url, "io.containerd.cgroups.v1.Metrics");
    }
}
