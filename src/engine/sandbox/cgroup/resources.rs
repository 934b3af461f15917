//! Resources that libcontainer would set wrongly, or not at all. They are taken out of its spec and set when the container
//! is made and has not been started.
//!
//! - A pids limit below three: while it makes the container there are that many processes of its own.
//! - The weight of block I/O on cgroup v2, which overflows in libcgroups.
//! - With systemd on cgroup v2: all that systemd has no property for, above all the rules for devices, and the cpuset,
//!   see `systemd`.

use std::{fs, path::Path, path::PathBuf};

use anyhow::{Context, Result};
use libcgroups::{
    common::{CgroupManager, ControllerOpt},
    v2::manager::Manager,
};
use oci_spec::runtime::{LinuxResources, Spec};

use super::{
    directories,
    files::{self, Change},
    systemd,
};

/// Where cgroup v2 is mounted, alone.
const ROOT: &str = "/sys/fs/cgroup";
/// Processes of libcontainer's that may be in the cgroup at once, beside the init.
const HELPERS: i64 = 2;

/// What is to be set when the container is made.
#[derive(Debug, Default)]
pub struct Left {
    /// By writing files.
    files: LinuxResources,
    /// By libcgroups, without systemd.
    all: Option<LinuxResources>,
}

/// Takes out what libcontainer must not set.
pub fn take(spec: &mut Spec, by_systemd: bool) -> Left {
    let mut left = Left::default();
    let v2 = is_v2();
    let Some(linux) = spec.linux_mut() else { return left };
    let Some(mut resources) = linux.resources().clone() else { return left };
    if let Some(pids) = *resources.pids()
        && (1..=HELPERS).contains(&pids.limit())
    {
        left.files.set_pids(Some(pids));
        resources.set_pids(None);
    }
    if v2
        && let Some(mut io) = resources.block_io().clone()
        && io.weight().is_some()
    {
        let mut weight = oci_spec::runtime::LinuxBlockIo::default();
        weight.set_weight(io.weight());
        left.files.set_block_io(Some(weight));
        io.set_weight(None);
        resources.set_block_io(Some(io));
    }
    if v2 && by_systemd {
        left.all = Some(resources.clone());
        systemd::drop_cpuset(&mut resources);
        let unified = resources.unified().clone().unwrap_or_default();
        let unified = unified.into_iter().filter(|(file, _)| !file.starts_with("cpuset.")).collect();
        resources.set_unified(Some(unified));
    }
    linux.set_resources(Some(resources));
    left
}

/// Sets `resources` in the cgroup v2 of the container `id`, which `spec` describes, a plain directory.
///
/// # Errors
/// What libcgroups says.
pub fn set(spec: &Spec, id: &str, resources: &LinuxResources) -> Result<()> {
    let options = ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
    systemd::manager(spec, id, false)?.apply(&options).context("cannot set the container's resources")
}

/// Sets what was taken out in the container's cgroups.
///
/// # Errors
/// Names the file and the value, or what libcgroups says.
pub fn apply(left: &Left, cgroups: &[PathBuf]) -> Result<()> {
    if let (Some(resources), [directory]) = (&left.all, cgroups) {
        pass_controllers_on(directory);
        let below = directory.strip_prefix(ROOT).context("the container's cgroup is not where cgroups are mounted")?;
        let manager = Manager::new(ROOT.into(), below.to_owned()).context("cannot use the container's cgroup")?;
        let options = ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
        if let Some(cpu) = resources.cpu() {
            systemd::tell_cpuset(cgroups, cpu)?;
        }
        manager.apply(&options).context("cannot set the container's resources")?;
    }
    let read = |name: &str| {
        let found = cgroups.iter().map(|directory| directory.join(name)).find(|path| path.exists())?;
        fs::read_to_string(found).ok()
    };
    for Change { file, value } in files::changes(&left.files, is_v2(), &read) {
        files::write(cgroups, &file, &value)?;
    }
    Ok(())
}

/// Whether this node has cgroup v2 alone.
pub fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// systemd gives a scope the controllers that it has properties for; the others are passed down here, as by runc.
fn pass_controllers_on(directory: &Path) {
    let below_root = directory.ancestors().skip(1).take_while(|path| path.starts_with(ROOT));
    let mut parents: Vec<&Path> = below_root.collect();
    parents.reverse();
    parents.into_iter().for_each(directories::pass_on);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(resources: &str) -> Spec {
        let mut spec = Spec::default();
        spec.linux_mut().as_mut().unwrap().set_resources(Some(serde_json::from_str(resources).unwrap()));
        spec
    }

    #[test]
    fn a_pids_limit_that_leaves_no_room_for_the_making_is_set_afterwards() {
        let mut small = spec(r#"{"pids": {"limit": 1}}"#);
        let left = take(&mut small, false);
        assert_eq!(left.files.pids().map(|pids| pids.limit()), Some(1));
        assert!(small.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().is_none());
        let mut large = spec(r#"{"pids": {"limit": 3}}"#);
        assert!(take(&mut large, false).files.pids().is_none());
        assert!(large.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().is_some());
    }
}
