//! For fuzzing: what the kernel says of cgroups, and the resources that are to be set in them.

use std::path::{Component, Path};

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

use crate::{
    hierarchies::{directory, hierarchies, memberships},
    sandbox::check,
};

use super::{files, systemd, v1};

/// A `mountinfo`, and the cgroups of a process: no directory is outside of where its hierarchy is mounted.
pub fn directories(mountinfo: &str, membership: &str) {
    let mounted = hierarchies(mountinfo);
    for (controllers, path) in memberships(membership) {
        let Some(found) = directory(&mounted, controllers, path) else { continue };
        let below = mounted.iter().filter_map(|one| found.strip_prefix(&one.mount_point).ok());
        let stays = |path: &Path| !path.components().any(|part| matches!(part, Component::ParentDir));
        assert!(below.into_iter().any(stays), "{path:?} of {controllers:?} is {found:?}");
    }
}

/// Resources in JSON: each change is of a file of the cgroup's directory itself, and of one line.
pub fn resources(data: &[u8]) {
    let Ok(resources) = serde_json::from_slice::<LinuxResources>(data) else { return };
    for present in [None, Some("max"), Some("4096"), Some("max 100000"), Some("")] {
        let read = |_: &str| present.map(str::to_owned);
        for v2 in [false, true] {
            for change in files::changes(&resources, v2, &read) {
                let sound = files::is_file_name(&change.file);
                assert!(sound || files::write(&[], &change.file, "").is_err());
                assert!(!sound || !change.file.contains('/'), "{change:?}");
            }
        }
    }
    if check::resources(&resources, true).is_ok() {
        let changes = files::changes(&resources, true, &|_| None);
        assert!(changes.iter().all(|change| files::is_file_name(&change.file)), "{changes:?}");
    }
    for device in resources.devices().iter().flatten() {
        rule(device);
    }
    if let Some(cpu) = resources.cpu() {
        for set in [cpu.cpus(), cpu.mems()].into_iter().flatten() {
            if let Ok(mask) = systemd::mask(set) {
                assert!(mask.len() <= 1024, "{set:?}");
            }
        }
        if let Some(shares) = cpu.shares() {
            assert!((1..=10_000).contains(&files::weight(shares)), "{shares}");
        }
    }
}

/// A rule is a line of three words, as the kernel takes it.
fn rule(device: &LinuxDeviceCgroup) {
    let rule = device.to_string();
    assert!(rule.lines().count() <= 1, "{rule:?}");
    let _ = v1::controller_of(&rule);
}
