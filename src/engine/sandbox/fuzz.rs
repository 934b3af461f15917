//! For fuzzing: a container's spec with its annotations and options, what is kept of it, and what it is made from.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use oci_spec::runtime::{LinuxCapabilities, Spec};
use wasmedge_shim_protocol::{Aot, Engine, FurtherOptions, Preopen, RootfsMount, SandboxOptions};

pub use super::cgroup::fuzz::resources;
use super::{
    annotations::{Asked, Author, CORE_DUMP, KNOWN},
    artifact::{Artifact, Module},
    cgroup, check, home,
    lookup::Missing,
    mounts::{options, rootfs},
    native_code, process,
    record::{self, Record},
    settings, translate,
};
use crate::aot;

/// The options of a runtime, a line `NAME VALUE` each, an empty line, annotations, a line `NAME=VALUE` each, an empty line,
/// labels of the image in the same way: nobody has more than the options allow, and an image alone nothing more.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut options = SandboxOptions::default();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        set(&mut options, name, value);
    }
    let ours = |line: &str| line.split_once('=').map(|(name, value)| (format!("io.wasmedge.{name}"), value.to_owned()));
    let annotations: HashMap<_, _> = lines.by_ref().take_while(|line| !line.is_empty()).filter_map(ours).collect();
    let mut asked = Asked::by_spec(Some(&annotations));
    if asked.add_labels(lines.filter_map(ours).collect()).is_ok() {
        decide(&options, &asked);
    }
}

fn set(options: &mut SandboxOptions, name: &str, value: &str) {
    let SandboxOptions { engine, plugins, aot, .. } = options;
    let limit = value.parse().ok().filter(|limit| *limit > 0);
    match name {
        "gas" => engine.gas_limit = limit,
        "time" => engine.time_limit_millis = limit,
        "pages" => engine.memory_pages = limit,
        "statistics" => engine.statistics = true,
        "proposal" => drop(engine.proposals.change(value)),
        "optional" => drop(engine.optional_proposals.change(value)),
        "dumps" => engine.core_dump = Some(value.into()),
        "dump-size" => engine.core_dump_mib = value.parse().unwrap_or_default(),
        "plugin" => plugins.names.push(value.to_owned()),
        "aot" => aot.policy = value.parse().unwrap_or(aot.policy),
        "level" => aot.level = value.parse().unwrap_or(aot.level),
        "most-aot" => aot.most_policy = value.parse().unwrap_or(aot.most_policy),
        "most-level" => aot.most_level = value.parse().unwrap_or(aot.most_level),
        _ => {}
    }
}

/// What a container that asks for this has is no more than it may have.
fn decide(options: &SandboxOptions, asked: &Asked) {
    if let Ok(aot) = native_code::wanted(&options.aot, asked) {
        let Aot { policy, level, most_policy, most_level, .. } = options.aot;
        assert!(aot.policy <= policy.max(most_policy), "{aot:?}");
        assert!(aot.level.work() <= level.work().max(most_level.work()), "{aot:?}");
        assert_eq!(Aot { policy, level, ..aot }, options.aot);
    }
    let Ok(wanted) = settings::wanted(options, &FurtherOptions::default(), asked) else { return };
    let Engine { gas_limit, time_limit_millis, memory_pages, proposals, optional_proposals, .. } = options.engine;
    within(wanted.gas_limit, gas_limit);
    within(wanted.time_limit_millis, time_limit_millis);
    within(wanted.memory_pages, memory_pages);
    let beyond: Vec<_> = wanted.proposals.beyond(proposals.union(optional_proposals)).collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    assert!(wanted.plugins.names.iter().all(|name| options.plugins.names.contains(name)), "{:?}", wanted.plugins);
    assert_eq!((&wanted.plugins.directory, &wanted.plugins.env), (&options.plugins.directory, &options.plugins.env));
    if let Some(dumps) = &wanted.core_dumps {
        let named = asked.get(CORE_DUMP).is_some();
        assert!(
            dumps.most_mib == options.engine.core_dump_mib && (!named || dumps.directory.is_absolute()),
            "{dumps:?}"
        );
    }
    if KNOWN.into_iter().all(|setting| asked.get(setting).is_none_or(|ask| ask.author == Author::Image)) {
        assert_eq!(native_code::wanted(&options.aot, asked).ok(), Some(options.aot.clone()));
        assert_eq!(wanted.proposals.beyond(proposals).next(), None);
        let dumps = wanted.core_dumps.as_ref().map(|dumps| &dumps.directory);
        assert_eq!((&wanted.plugins, dumps), (&options.plugins, options.engine.core_dump.as_ref()));
    }
    for preopen in wanted.preopens.iter().flatten() {
        assert!(!matches!(preopen, Preopen::Directory { path, .. } if !path.starts_with('/')), "{preopen:?}");
    }
    assert!(wanted.features().counted || wanted.gas_limit.is_none(), "gas that is not counted");
    kept(&Record { settings: wanted, ..Record::default() });
}

fn within(value: Option<u64>, limit: Option<u64>) {
    assert!(
        value != Some(0) && limit.is_none_or(|limit| value.is_some_and(|value| value <= limit)),
        "{value:?} of {limit:?}"
    );
}

/// A spec in JSON: made fit for a module it shows nothing of the node's, and libcontainer reads what was written.
pub fn spec(data: &[u8]) {
    let Ok(mut spec) = serde_json::from_slice::<Spec>(data) else { return };
    decide(&SandboxOptions::default(), &Asked::by_spec(spec.annotations().as_ref()));
    check::clean_cgroup_path(&mut spec, false);
    let cgroup = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).unwrap_or_default();
    assert!(!cgroup.components().any(|part| part == Component::ParentDir), "{cgroup:?}");
    for process in spec.process().iter().filter(|process| check::process(process).is_ok()) {
        assert!(process.user().uid() != u32::MAX && process.cwd().is_absolute(), "{process:?}");
    }
    translate::spell_out(&mut spec);
    translate::absolute_root(&mut spec, Path::new("/bundle"));
    translate::user_on_the_node(&spec);
    translate::limits(&spec);
    cgroup::mount::own_path(&spec);
    if let Some(process) = spec.process_mut() {
        let sets = process.capabilities().clone().unwrap_or_default();
        let given = [
            LinuxCapabilities::bounding,
            LinuxCapabilities::effective,
            LinuxCapabilities::inheritable,
            LinuxCapabilities::permitted,
            LinuxCapabilities::ambient,
        ];
        assert!(given.into_iter().all(|get| get(&sets).is_some()), "{sets:?}");
    }
    written(&spec);
    let by_hand = translate::for_module(&mut spec);
    assert!(by_hand.apparmor_profile.is_none_or(|profile| !profile.is_empty()));
    for mount in spec.mounts().iter().flatten() {
        let place = plain(mount.destination());
        let hidden = ["/proc", "/sys"].iter().any(|top| place.starts_with(top));
        let kind = mount.typ().as_deref().unwrap_or_default();
        assert!(!hidden && !["proc", "sysfs", "cgroup", "cgroup2", "mqueue"].contains(&kind), "{mount:?}");
    }
    written(&spec);
}

fn written(spec: &Spec) {
    let text = serde_json::to_vec(spec).unwrap();
    assert_eq!(serde_json::from_slice::<Spec>(&text).unwrap(), *spec);
}

/// `path` below the root, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

/// A record of a container: what is read is written again as it was, and what it takes to remove the container is found
/// by the other way, too.
pub fn records(data: &[u8]) {
    let salvaged = record::salvage(data);
    if let Ok(record) = record::read(data) {
        kept(&record);
        // What is in excess may be more than JSON that can be kept.
        if serde_json::from_str::<serde_json::Value>(&String::from_utf8_lossy(data)).is_err() {
            return;
        }
        let Record { bundle, worker, init, cgroups, systemd_cgroup, late_hooks, .. } = salvaged;
        assert_eq!((bundle, cgroups), (record.bundle, record.cgroups));
        assert_eq!((worker, init), (record.worker, record.init));
        assert_eq!((systemd_cgroup, late_hooks), (record.systemd_cgroup, record.late_hooks));
    }
}

fn kept(record: &Record) {
    let text = serde_json::to_vec(record).unwrap();
    assert_eq!(serde_json::from_slice::<Record>(&text).unwrap(), *record);
}

/// What the kernel says of processes and mounts. The name of a process may hold anything.
pub fn proc_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = process::start_time(&text);
    let time = 1 + text.len() as u64;
    let stat = format!("7 ({text}) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {time} 1000 10 18446744073709551615");
    assert_eq!(process::start_time(&stat), Some(time), "{stat:?}");
    let (mountinfo, membership) = text.split_once("\n\n").unwrap_or((&text, "0::/a\n"));
    cgroup::fuzz::directories(mountinfo, membership);
    aot::fuzz::places(mountinfo, membership);
    if let Some(home) = home::home_of(0, data) {
        assert!(!home.is_empty() && !home.contains(['\n', '\0']), "{home:?}");
    }
}

/// Mounts of a root filesystem, a line `TYPE SOURCE TARGET OPTION…` each: none is outside of the root.
pub fn rootfs_mounts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let mount = RootfsMount { fstype: word(), source: word(), target: word(), options: words.collect() };
        let parsed = options::parse(&mount.options);
        let given: usize = mount.options.iter().map(|option| option.len() + 1).sum();
        assert!(parsed.data.len() <= given, "{parsed:?}");
        let root = Path::new("/bundle/rootfs");
        if let Ok(target) = rootfs::target_below(root, &mount.target) {
            let below = target.strip_prefix(root).unwrap();
            assert!(!below.components().any(|part| part == Component::ParentDir), "{target:?}");
        }
        let layers: Vec<&Path> = mount.options.iter().map(Path::new).collect();
        if let Some(parent) = rootfs::common_parent(&layers) {
            assert!(layers.iter().all(|layer| layer.starts_with(&parent)), "{parent:?}");
        }
    }
}

/// The modules of an image, a line with the title of each, and the program that is missing: it is one of them, or none.
pub fn artifact(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let name = lines.next().unwrap_or_default().to_owned();
    let missing = Missing { path: Path::new("/").join(&name), name };
    let module = |(index, title): (usize, &str)| Module {
        digest: index.to_string(),
        title: (!title.is_empty()).then(|| title.into()),
        file: PathBuf::new(),
    };
    let artifact = Artifact { image: "i".into(), modules: lines.enumerate().map(module).collect() };
    match artifact.module_for(&missing) {
        Ok(Some(found)) => {
            let only = artifact.modules.len() == 1 && missing.name.ends_with(".wasm");
            let called = found.title.as_ref().is_some_and(|title| title.file_name() == missing.path.file_name());
            assert!(only || called, "{found:?}");
        }
        Ok(None) => assert!(!missing.name.ends_with(".wasm") || artifact.modules.is_empty()),
        Err(error) => assert!(error.to_string().starts_with("exec: "), "{error}"),
    }
}
