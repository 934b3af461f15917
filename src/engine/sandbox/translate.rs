//! containerd's spec, made fit for libcontainer and for what runs in it.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Component, Path, PathBuf},
};

use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{Capability, LinuxCapabilities, LinuxIdMapping, Mount, Process, Spec};

use super::mounts::destinations::is_bind;
use crate::{guest::HIDDEN_FROM_MODULES, wasm::Limits};

/// What libcontainer would need `/proc` in the container for, and is therefore done without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByHand {
    /// AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// The process's supplementary groups, as the node numbers them.
    pub groups: Vec<u32>,
    /// Kernel parameters of the container's namespaces.
    pub sysctl: BTreeMap<String, String>,
}

/// Makes `spec` fit for a module: no view of the node, and [`ByHand`] taken out.
pub fn for_module(spec: &mut Spec) -> ByHand {
    if let Some(mounts) = spec.mounts() {
        let kept = mounts.iter().filter(|mount| !hidden(mount)).cloned().collect();
        spec.set_mounts(Some(kept));
    }
    let mut by_hand = ByHand::default();
    let mut mappings = None;
    if let Some(linux) = spec.linux_mut() {
        linux.set_masked_paths(None);
        linux.set_readonly_paths(None);
        by_hand.sysctl = linux.sysctl_mut().take().unwrap_or_default().into_iter().collect();
        mappings = linux.gid_mappings().clone();
    }
    if let Some(process) = spec.process_mut() {
        by_hand.apparmor_profile = process.apparmor_profile().clone().filter(|profile| !profile.is_empty());
        process.set_apparmor_profile(None);
        let mut user = process.user().clone();
        let groups = user.additional_gids().clone().unwrap_or_default();
        by_hand.groups = groups.into_iter().filter_map(|gid| on_the_node(gid, mappings.as_deref())).collect();
        user.set_additional_gids(None);
        process.set_user(user);
    }
    by_hand
}

/// The node's number of the process's user; the container's own where its user namespace is not known here.
pub fn user_on_the_node(spec: &Spec) -> u32 {
    let uid = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let mappings = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().as_deref());
    on_the_node(uid, mappings).unwrap_or(uid)
}

/// The node's numbers of a user and a group of the container.
pub fn owner_on_the_node(spec: &Spec, uid: u32, gid: u32) -> (Uid, Gid) {
    let linux = spec.linux().as_ref();
    let users = linux.and_then(|linux| linux.uid_mappings().as_deref());
    let groups = linux.and_then(|linux| linux.gid_mappings().as_deref());
    let (uid, gid) = (on_the_node(uid, users).unwrap_or(uid), on_the_node(gid, groups).unwrap_or(gid));
    (Uid::from_raw(uid), Gid::from_raw(gid))
}

/// The node's number of a user or group of the container; `None` where its user namespace does not have it.
fn on_the_node(id: u32, mappings: Option<&[LinuxIdMapping]>) -> Option<u32> {
    let Some(mappings) = mappings.filter(|mappings| !mappings.is_empty()) else { return Some(id) };
    mappings.iter().find_map(|mapping| {
        let offset = id.checked_sub(mapping.container_id()).filter(|offset| *offset < mapping.size())?;
        mapping.host_id().checked_add(offset)
    })
}

fn hidden(mount: &Mount) -> bool {
    let by_type = mount.typ().as_deref().is_some_and(|kind| HIDDEN_FROM_MODULES.contains(&kind));
    let place = plain(mount.destination());
    by_type || ["/proc", "/sys"].iter().any(|top| place.starts_with(top))
}

/// Where `path` is in the container as long as no link is on it: absolute, without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}

/// Says what a spec leaves unsaid where libcontainer's reading of that is not runc's.
///
/// A set of capabilities that is not given is empty (libcontainer leaves the process what it has: `--cap-drop ALL`
/// comes as `"capabilities": {}`). What says that privileges may be gained says nothing (libcontainer takes it for the
/// contrary when it loads the seccomp profile, `process/init/process.rs`). The root mount is not tied to the node's, unless a mount asks for such a tie.
pub fn spell_out(spec: &mut Spec) {
    if let Some(process) = spec.process_mut() {
        spell_out_capabilities(process);
        if process.no_new_privileges() == Some(false) {
            process.set_no_new_privileges(None);
        }
    }
    let tied = |mount: &Mount| {
        mount
            .options()
            .iter()
            .flatten()
            .any(|option| ["shared", "rshared", "slave", "rslave"].contains(&option.as_str()))
    };
    let private = !spec.mounts().iter().flatten().any(tied);
    if let Some(linux) = spec.linux_mut() {
        let propagation = linux.rootfs_propagation().as_deref().unwrap_or_default();
        // The root is one mount at that time; libcontainer knows the plain words only.
        let plain = match propagation.strip_prefix('r').unwrap_or(propagation) {
            "" if private => "private",
            plain => plain,
        };
        let plain = (!plain.is_empty()).then(|| plain.to_owned());
        linux.set_rootfs_propagation(plain);
    }
}

/// Makes every set of capabilities that is not given an empty one.
pub fn spell_out_capabilities(process: &mut Process) {
    let mut capabilities = process.capabilities().clone().unwrap_or_default();
    for (get, set) in CAPABILITY_SETS {
        if get(&capabilities).is_none() {
            set(&mut capabilities, Some(HashSet::new()));
        }
    }
    process.set_capabilities(Some(capabilities));
}

type Get = fn(&LinuxCapabilities) -> &Option<HashSet<Capability>>;
type Set = fn(&mut LinuxCapabilities, Option<HashSet<Capability>>) -> &mut LinuxCapabilities;

const CAPABILITY_SETS: [(Get, Set); 5] = [
    (LinuxCapabilities::bounding, LinuxCapabilities::set_bounding),
    (LinuxCapabilities::effective, LinuxCapabilities::set_effective),
    (LinuxCapabilities::inheritable, LinuxCapabilities::set_inheritable),
    (LinuxCapabilities::permitted, LinuxCapabilities::set_permitted),
    (LinuxCapabilities::ambient, LinuxCapabilities::set_ambient),
];

/// Names the root filesystem and the sources of bind mounts absolutely, since libcontainer gets its bundle from another
/// directory.
pub fn absolute_root(spec: &mut Spec, bundle: &Path) {
    if let Some(root) = spec.root_mut() {
        let absolute = bundle.join(root.path());
        root.set_path(absolute);
    }
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in mounts.iter_mut().filter(|mount| is_bind(mount)) {
        let source = mount.source().as_ref().map(|source| bundle.join(source));
        mount.set_source(source);
    }
    spec.set_mounts(Some(mounts));
}

/// Bounds for a module from the container's resources.
pub fn limits(spec: &Spec) -> Limits {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let memory = resources.and_then(|resources| resources.memory().as_ref()).and_then(|memory| memory.limit());
    let memory = memory.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
    Limits { memory, ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxIdMappingBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder};

    #[test]
    fn a_module_does_not_see_proc_and_sys_but_keeps_its_other_mounts() {
        let mut spec = Spec::default();
        for_module(&mut spec);
        let destinations: Vec<_> =
            spec.mounts().as_ref().unwrap().iter().map(|mount| mount.destination().display().to_string()).collect();
        assert!(destinations.contains(&"/dev".to_owned()) && destinations.contains(&"/dev/shm".to_owned()));
        assert!(
            !destinations.iter().any(|path| path.starts_with("/proc") || path.starts_with("/sys")),
            "{destinations:?}"
        );
    }

    #[test]
    fn no_spelling_of_a_place_shows_proc_and_sys() {
        for place in ["/proc/a", "/dev/../proc", "/a/./../sys/b", "proc", "//sys"] {
            let mount = oci_spec::runtime::MountBuilder::default().destination(place).typ("bind").source("/proc");
            assert!(hidden(&mount.build().unwrap()), "{place}");
        }
    }

    #[test]
    fn an_apparmor_profile_is_taken_out_and_returned() {
        let mut spec = Spec::default();
        spec.process_mut().as_mut().unwrap().set_apparmor_profile(Some("docker-default".into()));
        assert_eq!(for_module(&mut spec).apparmor_profile.as_deref(), Some("docker-default"));
        assert_eq!(*spec.process().as_ref().unwrap().apparmor_profile(), None);
    }

    #[test]
    fn capabilities_that_are_not_given_are_none() {
        let mut spec: Spec = serde_json::from_str(
            r#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "capabilities": {"bounding": ["CAP_CHOWN"]}}}"#,
        )
        .unwrap();
        spell_out(&mut spec);
        let capabilities = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
        assert_eq!(capabilities.bounding().clone().unwrap().len(), 1);
        assert_eq!(*capabilities.effective(), Some(HashSet::new()));
        assert_eq!(*capabilities.ambient(), Some(HashSet::new()));
    }

    #[test]
    fn groups_are_numbered_as_on_the_node() {
        let mapping =
            LinuxIdMappingBuilder::default().container_id(0u32).host_id(100_000u32).size(10u32).build().unwrap();
        assert_eq!(on_the_node(7, None), Some(7));
        assert_eq!(on_the_node(7, Some(&[mapping])), Some(100_007));
        assert_eq!(on_the_node(10, Some(&[mapping])), None);
    }

    #[test]
    fn the_memory_limit_becomes_the_modules_bound() {
        let mut spec = Spec::default();
        let with = |limit| {
            LinuxResourcesBuilder::default()
                .memory(LinuxMemoryBuilder::default().limit(limit).build().unwrap())
                .build()
                .unwrap()
        };
        spec.linux_mut().as_mut().unwrap().set_resources(Some(with(64 << 20)));
        assert_eq!(limits(&spec).memory, Some(64 << 20));
        spec.linux_mut().as_mut().unwrap().set_resources(Some(with(-1)));
        assert_eq!(limits(&spec).memory, None);
    }
}
