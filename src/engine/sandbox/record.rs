//! The record of a container: what was made for it, for whichever host has to do with it later.
//!
//! That may be an older or a newer one than the one that wrote it. So what a record lacks has its default, what it has in
//! excess is left out, and where it cannot be understood as a whole, what can be is still used to remove the container.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use wasmedge_shim_protocol::{Aot, Optimization, PodName};

use super::process::Init;
use crate::{aot::Layers, guest::Settings};

/// Version of what this program writes. It grows when a field changes its meaning.
const VERSION: u32 = 1;

/// What was made for a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Version of the program that wrote it; 0 where it did not say.
    #[serde(default)]
    pub version: u32,
    /// containerd's bundle, below which the root filesystem is mounted.
    pub bundle: PathBuf,
    /// Whether systemd owns the cgroups.
    pub systemd_cgroup: bool,
    /// The worker that makes it, the leader of a process group that its helpers are in.
    pub worker: Option<Init>,
    /// The init, from the moment it is known.
    pub init: Option<Init>,
    /// The cgroup directories that were made for it.
    pub cgroups: Vec<PathBuf>,
    /// Whether its entrypoint is a module.
    pub module: bool,
    /// Its memory limit, in bytes.
    pub memory: Option<u64>,
    /// How its modules get native code.
    pub aot: Aot,
    /// What its modules have of the engine's abilities.
    #[serde(skip_serializing_if = "Settings::are_usual")]
    pub settings: Settings,
    /// By which files of its root filesystem are recognized.
    pub layers: Option<Layers>,
    /// Whether there are hooks to run after its start or its end.
    pub late_hooks: bool,
    /// What it runs, for people: the first of its arguments, cut short.
    pub program: String,
    /// The level of its module's native code; `None` for none.
    pub level: Option<Optimization>,
    /// Where its init has its gauges; 0 for none.
    pub gauges: u64,
    /// What Kubernetes calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            version: VERSION,
            bundle: PathBuf::new(),
            systemd_cgroup: false,
            worker: None,
            init: None,
            cgroups: Vec::new(),
            module: false,
            memory: None,
            aot: Aot::default(),
            settings: Settings::default(),
            layers: None,
            late_hooks: false,
            program: String::new(),
            level: None,
            gauges: 0,
            pod: None,
        }
    }
}

/// Understands a record.
pub fn read(text: &[u8]) -> serde_json::Result<Record> {
    serde_json::from_slice(text)
}

/// Understands what can be understood of a record: of what it takes to remove the container.
pub fn salvage(text: &[u8]) -> Record {
    let fields: Map<String, Value> = serde_json::from_str(&String::from_utf8_lossy(text)).unwrap_or_default();
    Record {
        version: fields.get("version").and_then(|version| u32::deserialize(version).ok()).unwrap_or(VERSION),
        bundle: field(&fields, "bundle"),
        systemd_cgroup: field(&fields, "systemd_cgroup"),
        worker: field(&fields, "worker"),
        init: field(&fields, "init"),
        cgroups: field(&fields, "cgroups"),
        late_hooks: field(&fields, "late_hooks"),
        ..Record::default()
    }
}

fn field<T: DeserializeOwned + Default>(fields: &Map<String, Value>, name: &str) -> T {
    fields.get(name).and_then(|value| T::deserialize(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Regression test for C7: a record without one of its fields counted as none at all.
    #[test]
    fn a_record_of_another_version_is_understood() {
        let of_the_first = read(br#"{"bundle": "/b", "aot": {"policy": "Off"}}"#).unwrap();
        let expected = Record {
            version: 0,
            bundle: "/b".into(),
            aot: Aot { policy: wasmedge_shim_protocol::AotPolicy::Off, ..Aot::default() },
            ..Record::default()
        };
        assert_eq!(of_the_first, expected);
        let of_a_later = br#"{"version": 9, "init": {"pid": 1, "start_time": 2, "new": 3}, "new": {"a": []}}"#;
        let expected = Record { version: 9, init: Some(Init { pid: 1, start_time: 2 }), ..Record::default() };
        assert_eq!(read(of_a_later).unwrap(), expected);
    }

    #[test]
    fn what_it_takes_to_remove_a_container_is_found_in_a_record_that_is_not_understood() {
        let text = br#"{"version": 9, "aot": {"policy": "Never"}, "cgroups": ["/c"], "init": 7, "bundle": "/b"}"#;
        assert!(read(text).is_err());
        let expected = Record { version: 9, bundle: "/b".into(), cgroups: vec!["/c".into()], ..Record::default() };
        assert_eq!(salvage(text), expected);
        assert_eq!(salvage(b"{\"bundle\": \"/b\", \"new\": \"\xff\"}").bundle, PathBuf::from("/b"));
        assert_eq!(salvage(b"{\"bun"), Record { version: VERSION, ..salvage(b"{}") });
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}") {
            let _ = (read(text.as_bytes()), salvage(text.as_bytes()));
        }
    }
}
