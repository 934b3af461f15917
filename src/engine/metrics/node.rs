//! What is the node's: its containers, its compilers, its cache.

use std::{collections::BTreeSet, fs};

use nix::errno::Errno;
use serde::Serialize;
use wasmedge_shim_protocol::{Aot, ContainerKey, Location, PodName};

use crate::{
    aot::{Ended, Store, Totals, compilers},
    sandbox::{self, Init, Record},
    wasm::{
        gauges::{self, Mode, Seen},
        page_size,
    },
};

/// The node at one moment.
#[derive(Debug, Serialize)]
pub struct Node {
    /// The containers that run.
    pub containers: Vec<ContainerReport>,
    /// Containers that have ended and are not deleted.
    pub ended: usize,
    /// containerd's namespaces that they are in.
    pub namespaces: usize,
    /// The compilers.
    pub compilers: CompilersReport,
    /// The cache of native code.
    pub cache: CacheReport,
}

/// A container that runs.
#[derive(Debug, Serialize)]
pub struct ContainerReport {
    /// containerd's namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// What Kubernetes calls it.
    pub pod: Option<PodName>,
    /// Whether its entrypoint is a module.
    pub module: bool,
    /// The first of its arguments.
    pub program: String,
    /// Its init.
    pub pid: i32,
    /// How long its init has been there, in seconds.
    pub age_seconds: u64,
    /// `interpreted`, or the level of its native code; none for what is no module.
    pub code: Option<String>,
    /// Bytes of linear memory, as the module's process has them.
    pub linear_memory_bytes: Option<u64>,
    /// Instructions that it has done, where they are counted.
    pub instructions: Option<u64>,
    /// Gas that it has used, where it is counted.
    pub gas: Option<u64>,
    /// Most gas that it may use.
    pub gas_limit: Option<u64>,
}

/// Compilers.
#[derive(Debug, Serialize)]
pub struct CompilersReport {
    /// At work.
    pub running: usize,
    /// Modules that wait for their turn.
    pub waiting: usize,
    /// Most at once; 0 where nothing has been compiled yet.
    pub most: u64,
    /// What they have done since the node was booted.
    pub levels: Vec<LevelReport>,
}

/// Compilations at one level.
#[derive(Debug, Serialize)]
pub struct LevelReport {
    /// The level.
    pub level: String,
    /// How many ended so, and what that is called.
    pub ended: [(&'static str, u64); 3],
    /// All of their time.
    pub seconds: f64,
}

/// The cache.
#[derive(Debug, Default, Serialize)]
pub struct CacheReport {
    /// Entries, and their bytes, that this engine made.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries of other engines.
    pub other_entries: u64,
    /// Their bytes.
    pub other_bytes: u64,
    /// Most bytes; 0 where nothing has been compiled yet.
    pub limit_bytes: u64,
    /// Entries that had to go.
    pub evictions: u64,
    /// Their bytes.
    pub evicted_bytes: u64,
}

impl Node {
    /// Looks at the node as it is.
    pub fn look(location: &Location) -> Self {
        let records = sandbox::containers(location);
        let namespaces: BTreeSet<_> = records.iter().map(|(key, _)| key.namespace.clone()).collect();
        let all = records.len();
        let containers: Vec<_> = records.into_iter().filter_map(|(key, record)| report(key, record)).collect();
        let store = Store::new(location, u64::from(Aot::default().cache_mib) << 20);
        let totals = store.tally().read();
        let (running, waiting) = compilers(&store);
        Self {
            ended: all - containers.len(),
            containers,
            namespaces: namespaces.len(),
            cache: cache(&store, &totals),
            compilers: CompilersReport { running, waiting, most: totals.slots, levels: levels(&totals) },
        }
    }
}

/// `None` for what has no process.
fn report(key: ContainerKey, record: Record) -> Option<ContainerReport> {
    let init = record.init?;
    let stat = fs::read_to_string(format!("/proc/{}/stat", init.pid)).ok()?;
    if !is_living(&stat) {
        return None;
    }
    let seen = (record.gauges != 0).then(|| gauges::see(init.pid, record.gauges).ok()).flatten();
    let addresses = address_space(init.pid);
    // Asked last: until now the id was this process's.
    if !init.exists() {
        return None;
    }
    let Seen { linear_memory, mode, counters, .. } = seen.unwrap_or_default();
    let native = record.level.map(|level| level.to_string());
    let interpreted = || "interpreted".to_owned();
    let code = match mode {
        Some(Mode::Interpreted) => interpreted(),
        // It was made with this code; what its process says is believed as far as that goes.
        Some(Mode::Native) | None => native.unwrap_or_else(interpreted),
    };
    Some(ContainerReport {
        namespace: key.namespace,
        id: key.id,
        pod: record.pod,
        module: record.module,
        program: record.program,
        pid: init.pid,
        age_seconds: age(init),
        code: record.module.then_some(code),
        // The guest may have written any number there, but has no more addresses than the kernel says.
        linear_memory_bytes: seen.map(|_| linear_memory.min(addresses)),
        instructions: counters.map(|counters| counters.instructions),
        gas: counters.map(|counters| counters.gas),
        gas_limit: record.settings.gas_limit,
    })
}

/// By `/proc/PID/stat`: neither a zombie nor dead (proc_pid_stat(5)).
fn is_living(stat: &str) -> bool {
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().next());
    state.is_some_and(|state| !matches!(state, "Z" | "X"))
}

/// Bytes of addresses that a process has mapped (proc_pid_statm(5)).
fn address_space(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = text.split_whitespace().next().and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default().saturating_mul(page_size())
}

fn age(init: Init) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one structure; asks for a constant.
    let (clock, per_second) =
        unsafe { (libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now), libc::sysconf(libc::_SC_CLK_TCK)) };
    let Ok(_) = Errno::result(clock) else { return 0 };
    now.tv_sec.unsigned_abs().saturating_sub(init.start_time / per_second.unsigned_abs().max(1))
}

fn cache(store: &Store, totals: &Totals) -> CacheReport {
    let Totals { evicted, evicted_bytes, cache_limit, .. } = *totals;
    let mut report =
        CacheReport { evictions: evicted, evicted_bytes, limit_bytes: cache_limit, ..CacheReport::default() };
    for entry in store.entries() {
        if entry.is_current() {
            report.entries += 1;
            report.bytes += entry.size;
        } else {
            report.other_entries += 1;
            report.other_bytes += entry.size;
        }
    }
    report
}

fn levels(totals: &Totals) -> Vec<LevelReport> {
    let levels = totals.compiled.iter().map(|compiled| LevelReport {
        level: compiled.level.to_string(),
        ended: std::array::from_fn(|place| (Ended::ALL[place].name(), compiled.ended[place])),
        seconds: compiled.micros as f64 / 1e6,
    });
    levels.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_whose_process_is_gone_or_another_s_is_not_reported() {
        let key = || ContainerKey { namespace: "default".into(), id: "c".into() };
        let me = Init::of(std::process::id().cast_signed()).unwrap();
        let record = |init| Record { init, module: true, program: "/app.wasm".into(), ..Record::default() };
        let reported = report(key(), record(Some(me))).unwrap();
        assert_eq!((reported.pid, reported.code.as_deref()), (me.pid, Some("interpreted")));
        assert_eq!((reported.linear_memory_bytes, reported.gas), (None, None));
        assert!(report(key(), record(Some(Init { start_time: me.start_time + 1, ..me }))).is_none());
        assert!(report(key(), record(None)).is_none());
        assert!(is_living("7 (a) Z) S 1") && !is_living("7 (a) Z 1"));
    }

    #[test]
    fn what_a_process_says_of_its_memory_is_no_more_than_it_can_have() {
        let me = Init::of(std::process::id().cast_signed()).unwrap();
        let said = Box::new([u64::MAX, 2, 0, 0, 0]);
        let record = Record { init: Some(me), module: true, gauges: said.as_ptr().addr() as u64, ..Record::default() };
        let reported = report(ContainerKey { namespace: "n".into(), id: "c".into() }, record).unwrap();
        let memory = reported.linear_memory_bytes.unwrap();
        assert!(memory > 0 && memory < 1 << 47, "{memory}");
        assert_eq!(reported.code.as_deref(), Some("interpreted"), "there is no native code by its record");
    }
}
