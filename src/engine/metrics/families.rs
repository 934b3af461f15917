//! The metrics: their names, types, units and labels. docs/monitoring.md has them all.
//!
//! Labels have few values each: hosts, of which a node has one or two, kinds, results, levels. Only what a running
//! container has of its own is told by container, of no more containers than [`MOST_CONTAINERS`].

use super::{
    ContainerReport, HostReport, Kind, Node,
    counts::BOUNDS,
    text::{
        Document, Family,
        Type::{Counter, Gauge, Histogram, Info},
    },
};

/// Most containers that have series of their own.
const MOST_CONTAINERS: usize = 1000;

/// What native code is called in a label, when there is none.
const INTERPRETED: &str = "interpreted";

/// All metrics of the node and of these hosts, in OpenMetrics' text format.
pub fn exposition(hosts: &[HostReport], node: &Node) -> String {
    let mut document = Document::default();
    of_hosts(&mut document, hosts);
    of_workers(&mut document, hosts);
    of_creations(&mut document, hosts);
    of_containers(&mut document, node);
    of_compilers(&mut document, node);
    of_cache(&mut document, node);
    of_each_container(&mut document, node);
    document.end()
}

/// A family of which each host has a sample.
fn each<T: std::fmt::Display>(mut family: Family<'_>, hosts: &[HostReport], value: impl Fn(&HostReport) -> T) {
    for host in hosts {
        family.add(&[("host", &host.pid.to_string())], value(host));
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn of_hosts(document: &mut Document, hosts: &[HostReport]) {
    let mut info = document.family("wasmedge_host", Info, "", "An engine host of the node, by its process id.");
    for host in hosts {
        let pid = host.pid.to_string();
        info.add(&[("host", &pid), ("version", &host.version), ("wasmedge", &host.wasmedge)], 1);
    }
    let started = document.family(
        "wasmedge_host_start_time_seconds",
        Gauge,
        "seconds",
        "When the host was started, since the Unix epoch.",
    );
    each(started, hosts, |host| host.started_unix_millis as f64 / 1e3);
    let shims = document.family("wasmedge_host_shims", Gauge, "", "Shims that are connected to the host.");
    each(shims, hosts, |host| host.shims);
    let help = "Containers that the host has made and that are not deleted.";
    each(document.family("wasmedge_host_containers", Gauge, "", help), hosts, |host| host.containers);
    let help =
        "Containers that ended for want of memory: killed by the kernel, or modules that their limit refused it.";
    each(document.family("wasmedge_containers_oom_killed", Counter, "", help), hosts, |host| host.counts.oom_killed);
    let help = "How often native code was looked for in the cache at the start of a module.";
    let mut lookups = document.family("wasmedge_native_code_lookups", Counter, "", help);
    for host in hosts {
        let pid = host.pid.to_string();
        lookups.add(&[("host", &pid), ("result", "hit")], host.counts.cache_hits);
        lookups.add(&[("host", &pid), ("result", "miss")], host.counts.cache_misses);
    }
    let help = "How often the start of a module waited for a compiler.";
    each(document.family("wasmedge_native_code_waits", Counter, "", help), hosts, |host| host.counts.waits);
    let help = "How long starts of modules waited for compilers, all together.";
    let waited = document.family("wasmedge_native_code_wait_seconds", Counter, "seconds", help);
    each(waited, hosts, |host| seconds(host.counts.wait_micros));
}

fn of_workers(document: &mut Document, hosts: &[HostReport]) {
    let help = "Processes of the host that do a request at the moment.";
    let mut workers = document.family("wasmedge_workers", Gauge, "", help);
    for host in hosts {
        let (pid, now) = (host.pid.to_string(), host.workers);
        let works = [("create", now.creating), ("exec", now.executing), ("delete", now.deleting), ("other", now.other)];
        for (work, count) in works {
            workers.add(&[("host", &pid), ("work", work)], count);
        }
    }
    let help = "Those of them that wait for a compiler.";
    each(document.family("wasmedge_workers_waiting", Gauge, "", help), hosts, |host| host.workers.waiting);
    let help = "Workers that were killed, or ended as they took too long.";
    each(document.family("wasmedge_workers_lost", Counter, "", help), hosts, |host| host.counts.workers_lost);
}

fn of_creations(document: &mut Document, hosts: &[HostReport]) {
    let all = |host: &HostReport| Kind::ALL.into_iter().zip(host.counts.creations.clone());
    let help = "Containers that were to be created, by what runs in them and what came of it.";
    let mut family = document.family("wasmedge_container_creations", Counter, "", help);
    for host in hosts {
        let pid = host.pid.to_string();
        for (kind, creations) in all(host) {
            let labels = |result| [("host", &*pid), ("kind", kind.name()), ("result", result)];
            // What is not known is never done.
            if kind != Kind::Unknown {
                family.add(&labels("done"), creations.done);
            }
            family.add(&labels("failed"), creations.failed);
        }
    }
    let help = "How long creations took that came to a container, without containerd and the shim.";
    let mut family = document.family("wasmedge_container_creation_seconds", Histogram, "", help);
    for host in hosts {
        let pid = host.pid.to_string();
        for (kind, creations) in all(host).filter(|(kind, _)| *kind != Kind::Unknown) {
            let within = |(place, bound): (usize, &u64)| {
                (*bound as f64 / 1e3, creations.within.get(place).copied().unwrap_or_default())
            };
            let labels = [("host", &*pid), ("kind", kind.name())];
            family.histogram(&labels, BOUNDS.iter().enumerate().map(within), creations.done, seconds(creations.micros));
        }
    }
    let help = "Other programs that were to be started in containers, by what came of it.";
    let mut family = document.family("wasmedge_execs", Counter, "", help);
    for host in hosts {
        let pid = host.pid.to_string();
        family.add(&[("host", &pid), ("result", "done")], host.counts.execs);
        family.add(&[("host", &pid), ("result", "failed")], host.counts.execs_failed);
    }
}

fn of_containers(document: &mut Document, node: &Node) {
    let modules = node.containers.iter().filter(|one| one.module).count();
    let linux = node.containers.len() - modules;
    let mut running = document.family("wasmedge_containers_running", Gauge, "", "Containers that run, by their kind.");
    running.add(&[("kind", Kind::Wasm.name())], modules).add(&[("kind", Kind::Linux.name())], linux);
    let help = "Containers that have ended and are not deleted.";
    document.family("wasmedge_containers_ended", Gauge, "", help).add(&[], node.ended);
    let help = "Namespaces of containerd that have containers of this runtime.";
    document.family("wasmedge_containerd_namespaces", Gauge, "", help).add(&[], node.namespaces);
    let help = "Containers of modules that run, by the level of their native code.";
    let mut by_code = document.family("wasmedge_modules_running", Gauge, "", help);
    let levels = node.compilers.levels.iter().map(|level| &*level.level);
    for code in [INTERPRETED].into_iter().chain(levels) {
        let count = node.containers.iter().filter(|one| one.code.as_deref() == Some(code)).count();
        by_code.add(&[("code", code)], count);
    }
}

fn of_compilers(document: &mut Document, node: &Node) {
    let compilers = &node.compilers;
    let mut gauge = |name, help, value: u64| {
        document.family(name, Gauge, "", help).add(&[], value);
    };
    gauge("wasmedge_compilers_running", "Compilers at work on the node.", compilers.running as u64);
    gauge("wasmedge_compilers_waiting", "Modules that wait for a compiler.", compilers.waiting as u64);
    gauge("wasmedge_compilers_limit", "Most compilers at once; 0 where none has been asked for.", compilers.most);
    let help = "Compilations since the node was booted.";
    let mut family = document.family("wasmedge_compilations", Counter, "", help);
    for level in &compilers.levels {
        for (result, count) in level.ended {
            family.add(&[("level", &level.level), ("result", result)], count);
        }
    }
    let help = "How long compilations took, all together.";
    let mut family = document.family("wasmedge_compilation_seconds", Counter, "seconds", help);
    for level in &compilers.levels {
        family.add(&[("level", &level.level)], level.seconds);
    }
}

fn of_cache(document: &mut Document, node: &Node) {
    let cache = &node.cache;
    let help = "Entries of the cache of native code, of this engine and of others.";
    let mut entries = document.family("wasmedge_cache_entries", Gauge, "", help);
    entries.add(&[("engine", "this")], cache.entries).add(&[("engine", "other")], cache.other_entries);
    let mut bytes = document.family("wasmedge_cache_bytes", Gauge, "bytes", "Bytes of them.");
    bytes.add(&[("engine", "this")], cache.bytes).add(&[("engine", "other")], cache.other_bytes);
    let help = "Most bytes of the cache; 0 where nothing has been compiled since the node was booted.";
    document.family("wasmedge_cache_limit_bytes", Gauge, "bytes", help).add(&[], cache.limit_bytes);
    let help = "Entries that had to go to make room, since the node was booted.";
    document.family("wasmedge_cache_evictions", Counter, "", help).add(&[], cache.evictions);
    let help = "Bytes of them.";
    document.family("wasmedge_cache_evicted_bytes", Counter, "bytes", help).add(&[], cache.evicted_bytes);
}

fn of_each_container(document: &mut Document, node: &Node) {
    let modules = || node.containers.iter().filter(|one| one.module);
    let left_out = modules().count().saturating_sub(MOST_CONTAINERS);
    let help = "Containers of modules that have no series of their own, as there are too many.";
    document.family("wasmedge_containers_without_series", Gauge, "", help).add(&[], left_out);
    let of_each = |mut family: Family<'_>, value: &dyn Fn(&ContainerReport) -> Option<u64>| {
        for one in modules().take(MOST_CONTAINERS) {
            let Some(value) = value(one) else { continue };
            let pod = one.pod.clone().unwrap_or_default();
            let containerd = [("namespace", &*one.namespace), ("id", &*one.id)];
            let kubernetes = [("pod_namespace", &*pod.namespace), ("pod", &*pod.name), ("container", &*pod.container)];
            let named = kubernetes.into_iter().filter(|(_, value)| !value.is_empty());
            family.add(&containerd.into_iter().chain(named).collect::<Vec<_>>(), value);
        }
    };
    let help = "Linear memory of a module, as its process says.";
    let family = document.family("wasmedge_container_linear_memory_bytes", Gauge, "bytes", help);
    of_each(family, &|one| one.linear_memory_bytes);
    let help = "Instructions that a module has done, where they are counted.";
    of_each(document.family("wasmedge_container_instructions", Counter, "", help), &|one| one.instructions);
    let help = "Gas that a module has used, where it is counted.";
    of_each(document.family("wasmedge_container_gas", Counter, "", help), &|one| one.gas);
    let help = "Most gas that a module may use.";
    of_each(document.family("wasmedge_container_gas_limit", Gauge, "", help), &|one| one.gas_limit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmedge_shim_protocol::PodName;

    use crate::metrics::{
        Counts,
        node::{CacheReport, CompilersReport, LevelReport},
    };

    fn container(id: String) -> ContainerReport {
        let pod = PodName { namespace: "shop".into(), name: "we\"b\\\n".into(), container: "app".into() };
        ContainerReport {
            namespace: "k8s.io".into(),
            id,
            pod: Some(pod),
            module: true,
            program: "/app.wasm".into(),
            pid: 7,
            age_seconds: 1,
            code: Some("O2".into()),
            linear_memory_bytes: Some(65536),
            instructions: Some(5),
            gas: None,
            gas_limit: Some(u64::MAX),
        }
    }

    fn node(containers: usize) -> Node {
        let level = |level: &str| LevelReport {
            level: level.into(),
            ended: [("done", 1), ("failed", 0), ("killed", 0)],
            seconds: 0.25,
        };
        Node {
            containers: (0..containers).map(|number| container(number.to_string())).collect(),
            ended: 1,
            namespaces: 1,
            compilers: CompilersReport { running: 1, waiting: 0, most: 2, levels: vec![level("O0"), level("O2")] },
            cache: CacheReport::default(),
        }
    }

    fn hosts() -> [HostReport; 2] {
        let mut counts = Counts::default();
        counts.created(Some(true), Some(std::time::Duration::from_millis(7)));
        let first =
            HostReport { pid: 1, version: "0.1.0".into(), wasmedge: "0.17.1".into(), counts, ..HostReport::default() };
        [first.clone(), HostReport { pid: 2, counts: Counts::default(), ..first }]
    }

    #[test]
    fn all_of_it_is_in_the_format_and_has_a_name_of_ours_and_a_help() {
        let text = exposition(&hosts(), &node(2));
        let parsed =
            openmetrics_parser::openmetrics::parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(parsed.families.len() > 25);
        for (name, family) in &parsed.families {
            assert!(name.starts_with("wasmedge_") && family.help.ends_with('.'), "{name}");
        }
        for line in [
            "wasmedge_host_info{host=\"1\",version=\"0.1.0\",wasmedge=\"0.17.1\"} 1",
            "wasmedge_container_creation_seconds_bucket{host=\"1\",kind=\"wasm\",le=\"0.005\"} 0",
            "wasmedge_container_creation_seconds_bucket{host=\"1\",kind=\"wasm\",le=\"0.01\"} 1",
            "wasmedge_modules_running{code=\"O2\"} 2",
            "wasmedge_compilation_seconds_total{level=\"O0\"} 0.25",
            "wasmedge_container_instructions_total{namespace=\"k8s.io\",id=\"1\",pod_namespace=\"shop\",pod=\"we\\\"b\\\\\\n\",container=\"app\"} 5",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        assert!(!text.contains("wasmedge_container_gas_total{"));
    }

    #[test]
    fn a_node_without_anything_has_metrics_in_the_format_too() {
        let text = exposition(&[], &node(0));
        openmetrics_parser::openmetrics::parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }

    #[test]
    fn no_more_containers_than_a_bound_have_series_of_their_own() {
        let text = exposition(&hosts(), &node(MOST_CONTAINERS + 5));
        let series = text.lines().filter(|line| line.starts_with("wasmedge_container_linear_memory_bytes{")).count();
        assert_eq!(series, MOST_CONTAINERS);
        assert!(text.contains("wasmedge_containers_without_series 5\n"));
    }
}
