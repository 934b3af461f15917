//! The resources of a new container on cgroup v1, written straight to the hierarchies' files: libcgroups reads the table
//! of mounts a dozen times before it writes the first.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxMemory, LinuxNetwork, LinuxResources};

use super::files::{Change, changes, is_file_name};

/// Rules that come after the spec's, as in runc: whoever may make a node may make any, and the devices that every container
/// has are open: null, zero, full, random, urandom, tty, console, ptmx, pts and tun.
const ALWAYS_ALLOWED: [&str; 12] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
    "c 10:200 rwm",
];

/// A container's cgroup in one hierarchy.
pub struct Group<'a> {
    /// The hierarchy's controllers, among other mount options.
    pub controllers: &'a str,
    /// The cgroup's directory.
    pub directory: PathBuf,
}

/// Sets `resources` in the container's cgroups.
///
/// # Errors
/// Names the file, the value and the cause; a controller that is needed and not mounted.
pub fn set(groups: &[Group<'_>], resources: &LinuxResources) -> Result<()> {
    let directory = |controller: &str| {
        let group = groups.iter().find(|group| group.controllers.split(',').any(|name| name == controller));
        group.map(|group| group.directory.as_path())
    };
    let read = |file: &str| fs::read_to_string(directory(controller_of(file))?.join(file)).ok();
    let mut all = changes(resources, false, &read);
    all.extend(resources.memory().iter().flat_map(memory));
    all.extend(resources.network().iter().flat_map(network));
    for Change { file, value } in all {
        ensure!(is_file_name(&file), "{file:?} is no file of the container's cgroup");
        let controller = controller_of(&file);
        let path = directory(controller)
            .with_context(|| format!("cannot set {file} to {value}: controller {controller} is not mounted"))?
            .join(&file);
        fs::write(&path, &value).with_context(|| format!("cannot write {value} to {}", path.display()))?;
    }
    match directory("devices") {
        Some(directory) => devices(directory, resources.devices().as_deref().unwrap_or_default()),
        None => Ok(()),
    }
}

/// The hierarchy that a file belongs to, by its name.
pub fn controller_of(file: &str) -> &str {
    file.split('.').next().unwrap_or(file)
}

fn change(file: &str, value: impl ToString) -> Change {
    Change { file: file.to_owned(), value: value.to_string() }
}

/// What only a new container may set of its memory.
fn memory(memory: &LinuxMemory) -> Vec<Change> {
    let tcp = memory.kernel_tcp().filter(|bytes| *bytes != 0);
    let tcp = tcp.map(|bytes| change("memory.kmem.tcp.limit_in_bytes", bytes));
    let no_killer = memory.disable_oom_killer().unwrap_or_default().then(|| change("memory.oom_control", 1));
    tcp.into_iter().chain(no_killer).collect()
}

fn network(network: &LinuxNetwork) -> Vec<Change> {
    let class = network.class_id().map(|id| change("net_cls.classid", id));
    let priorities = network.priorities().iter().flatten();
    let priorities = priorities.map(|one| change("net_prio.ifpriomap", format!("{} {}", one.name(), one.priority())));
    class.into_iter().chain(priorities).collect()
}

fn devices(directory: &Path, rules: &[LinuxDeviceCgroup]) -> Result<()> {
    let open = |name: &str| {
        let path = directory.join(name);
        File::options().write(true).open(&path).with_context(|| format!("cannot open {}", path.display()))
    };
    let (allow, deny) = (open("devices.allow")?, open("devices.deny")?);
    let rules = rules.iter().map(|rule| (rule.allow(), rule.to_string()));
    for (allowed, rule) in rules.chain(ALWAYS_ALLOWED.map(|rule| (true, rule.to_owned()))) {
        let mut file = if allowed { &allow } else { &deny };
        file.write_all(rule.as_bytes()).with_context(|| format!("the kernel refuses the device rule \"{rule}\""))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_in(top: &Path, files: &[&str], resources: &str) -> Result<()> {
        for file in files {
            fs::create_dir_all(top.join(controller_of(file))).unwrap();
            fs::write(top.join(controller_of(file)).join(file), "").unwrap();
        }
        let group = |controllers, name| Group { controllers, directory: top.join(name) };
        set(&[group("rw,cpu,cpuacct", "cpu"), group("rw,memory", "memory")], &serde_json::from_str(resources).unwrap())
    }

    #[test]
    fn each_resource_goes_to_its_hierarchy() {
        let top = tempfile::tempdir().unwrap();
        let files = ["cpu.shares", "memory.limit_in_bytes", "memory.oom_control"];
        let resources = r#"{"cpu": {"shares": 512}, "memory": {"limit": 1000, "disableOOMKiller": true}}"#;
        set_in(top.path(), &files, resources).unwrap();
        let read = |path: &str| fs::read_to_string(top.path().join(path)).unwrap();
        assert_eq!(
            [read("cpu/cpu.shares"), read("memory/memory.limit_in_bytes"), read("memory/memory.oom_control")],
            ["512", "1000", "1"]
        );
    }

    #[test]
    fn a_controller_that_is_missing_is_named() {
        let top = tempfile::tempdir().unwrap();
        let error = set_in(top.path(), &[], r#"{"pids": {"limit": 5}}"#).unwrap_err().to_string();
        assert_eq!(error, "cannot set pids.max to 5: controller pids is not mounted");
        set_in(top.path(), &[], r#"{"devices": [{"allow": false, "access": "rwm"}]}"#).unwrap();
    }
}
