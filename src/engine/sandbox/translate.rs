//! containerd's spec, made fit for libcontainer and for what runs in it.

use std::path::Path;

use oci_spec::runtime::{Mount, Spec};

use crate::wasm::Limits;

/// Filesystems that show a guest the node or itself. `/proc/self/mem` would let a module write to the engine around
/// it; none of them is of use to WASI.
const HIDDEN_FROM_MODULES: [&str; 5] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue"];

/// Makes `spec` fit for a module: no view of the node, and the AppArmor profile taken out, to be set without execve.
/// Returns the profile.
pub fn for_module(spec: &mut Spec) -> Option<String> {
    if let Some(mounts) = spec.mounts() {
        let kept = mounts.iter().filter(|mount| !hidden(mount)).cloned().collect();
        spec.set_mounts(Some(kept));
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(None);
        linux.set_readonly_paths(None);
    }
    let process = spec.process_mut().as_mut()?;
    let profile = process.apparmor_profile().clone().filter(|profile| !profile.is_empty());
    process.set_apparmor_profile(None);
    profile
}

fn hidden(mount: &Mount) -> bool {
    let by_type = mount.typ().as_deref().is_some_and(|kind| HIDDEN_FROM_MODULES.contains(&kind));
    let below_hidden = ["/proc", "/sys"].iter().any(|top| mount.destination().starts_with(top));
    by_type || below_hidden
}

/// Names the root filesystem absolutely, since libcontainer gets its bundle from another directory.
pub fn absolute_root(spec: &mut Spec, bundle: &Path) {
    if let Some(root) = spec.root_mut() {
        let absolute = bundle.join(root.path());
        root.set_path(absolute);
    }
}

/// Bounds for a module from the container's resources.
pub fn limits(spec: &Spec) -> Limits {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let memory = resources.and_then(|resources| resources.memory().as_ref()).and_then(|memory| memory.limit());
    Limits { memory: memory.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxMemoryBuilder, LinuxResourcesBuilder};

    #[test]
    fn a_module_does_not_see_proc_and_sys_but_keeps_its_other_mounts() {
        let mut spec = Spec::default();
        for_module(&mut spec);
        let destinations: Vec<_> =
            spec.mounts().as_ref().unwrap().iter().map(|mount| mount.destination().display().to_string()).collect();
        assert!(destinations.contains(&"/dev".to_owned()) && destinations.contains(&"/dev/shm".to_owned()));
        assert!(!destinations.iter().any(|path| path.starts_with("/proc") || path.starts_with("/sys")), "{destinations:?}");
    }

    #[test]
    fn an_apparmor_profile_is_taken_out_and_returned() {
        let mut spec = Spec::default();
        spec.process_mut().as_mut().unwrap().set_apparmor_profile(Some("docker-default".into()));
        assert_eq!(for_module(&mut spec).as_deref(), Some("docker-default"));
        assert_eq!(*spec.process().as_ref().unwrap().apparmor_profile(), None);
    }

    #[test]
    fn the_memory_limit_becomes_the_modules_bound() {
        let mut spec = Spec::default();
        let with = |limit| LinuxResourcesBuilder::default().memory(LinuxMemoryBuilder::default().limit(limit).build().unwrap()).build().unwrap();
        spec.linux_mut().as_mut().unwrap().set_resources(Some(with(64 << 20)));
        assert_eq!(limits(&spec).memory, Some(64 << 20));
        spec.linux_mut().as_mut().unwrap().set_resources(Some(with(-1)));
        assert_eq!(limits(&spec).memory, None);
    }
}
