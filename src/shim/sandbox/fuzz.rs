//! For fuzzing: what CRI wants of a pod that the shim holds.

use std::path::{Component, Path};

use containerd_shim::protos::protobuf::well_known_types::any::Any;

use super::{cgroup, config::PodConfig, namespaces::Wanted};

/// One message; what is made of it stays in the pod's own namespaces and below the roots of cgroups.
pub fn pods(data: &[u8]) {
    let any = Any { type_url: "runtime.v1.PodSandboxConfig".into(), value: data.to_vec(), ..Any::default() };
    let Ok(config) = PodConfig::read(Some(&any)) else { return };
    if let Some(name) = config.name() {
        assert!(!name.name.is_empty() && name.name.len() <= 253 && name.namespace.len() <= 253, "{name:?}");
    }
    for netns in ["", "/run/netns/n"] {
        let Ok(wanted) = Wanted::of(&config, netns) else { continue };
        assert!(wanted.net.is_none() || !netns.is_empty());
        for (path, _) in &wanted.parameters {
            assert!(is_below(Path::new(path)), "{path:?}");
            let (net, ipc) = (path.starts_with("net/"), path.starts_with("kernel/") || path.starts_with("fs/mqueue/"));
            assert!(net && wanted.net.is_some() || ipc && wanted.ipc, "{path:?} of {wanted:?}");
        }
    }
    let parent = config.linux.as_ref().map_or("", |linux| &linux.cgroup_parent);
    for directory in cgroup::parent(parent) {
        let below = directory.strip_prefix("/sys/fs/cgroup").unwrap();
        assert!(is_below(below), "{directory:?}");
    }
}

/// Whether a path leads to something below where it begins.
fn is_below(path: &Path) -> bool {
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}
