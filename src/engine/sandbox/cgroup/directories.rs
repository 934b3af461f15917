//! A container's cgroup directories, found through the kernel rather than computed: libcontainer, systemd and the
//! cgroup namespace all have a say in where they are.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::hierarchies::{Hierarchy, directory, hierarchy_of, memberships, mounted_hierarchies, own_membership};

/// How often to look whether a helper is gone, every 0.2 ms.
const HELPER_ATTEMPTS: usize = 500;

/// The mounted hierarchies of cgroup v1 that have controllers.
pub fn v1_hierarchies() -> io::Result<Vec<Hierarchy>> {
    let mounted = mounted_hierarchies()?;
    Ok(mounted.into_iter().filter(Hierarchy::has_controllers).collect())
}

/// All mounted hierarchies, each once.
pub fn mounted() -> io::Result<Vec<Hierarchy>> {
    let mut mounted = Vec::<Hierarchy>::new();
    for hierarchy in mounted_hierarchies()? {
        // Mounted again somewhere else, as for a container in a container.
        if !mounted.iter().any(|other| other.controllers == hierarchy.controllers) {
            mounted.push(hierarchy);
        }
    }
    Ok(mounted)
}

/// The hierarchies as they are mounted, to be asked more than once: the table of mounts grows with the containers.
pub struct Mounted {
    hierarchies: Vec<Hierarchy>,
}

impl Mounted {
    /// As they are now.
    pub fn read() -> io::Result<Self> {
        Ok(Self { hierarchies: mounted_hierarchies()? })
    }

    /// Where a process with this `/proc/PID/cgroup` is in the hierarchy that has `controller`, or cgroup v2 for an empty
    /// name.
    pub fn directory_with(&self, membership: &str, controller: &str) -> Option<PathBuf> {
        let mut found = memberships(membership).filter(|(names, _)| names.split(',').any(|name| name == controller));
        found.find_map(|(names, path)| directory(&self.hierarchies, names, path))
    }

    /// Whether `directory` is the top of a hierarchy as it is mounted.
    pub fn is_top(&self, directory: &Path) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.mount_point == directory)
    }

    /// The first of `directories` that is not one that process `pid` is in, or that this process is in as well; `None`
    /// where all of them are the other's own.
    pub fn foreign<'a>(&self, pid: i32, directories: &'a [PathBuf]) -> io::Result<Option<&'a PathBuf>> {
        let of = |membership: &str| -> Vec<PathBuf> {
            memberships(membership).filter_map(|(names, path)| directory(&self.hierarchies, names, path)).collect()
        };
        let theirs = of(&fs::read_to_string(format!("/proc/{pid}/cgroup"))?);
        let ours = of(&own_membership()?);
        Ok(directories.iter().find(|one| !theirs.contains(one) || ours.contains(one) || self.is_top(one)))
    }
}

/// The directory of process `pid` on cgroup v2, if that is mounted.
pub fn unified_of(pid: i32) -> io::Result<Option<PathBuf>> {
    let hierarchies = mounted_hierarchies()?;
    let inside = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let membership = memberships(&inside).find(|(controllers, _)| controllers.is_empty());
    Ok(membership.and_then(|(controllers, path)| directory(&hierarchies, controllers, path)))
}

/// The directories that process `pid` is in and that `outsider` is not: those made for it.
pub fn directories_of(pid: i32, outsider: &str) -> io::Result<Vec<PathBuf>> {
    let hierarchies = mounted_hierarchies()?;
    let own = memberships(outsider);
    let inside = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    Ok(memberships(&inside)
        .filter(|membership| !own.clone().any(|other| other == *membership))
        .filter_map(|(controllers, path)| directory(&hierarchies, controllers, path))
        .collect())
}

/// Moves the container's init to the path `container` in those hierarchies that libcontainer leaves out on cgroup v1: those
/// without a controller (`name=systemd`) and, where it is mounted beside them, cgroup v2. runc joins them, and tools find
/// containers by them. Nothing is limited there, so what fails costs a message.
pub fn join_the_rest(pid: i32, container: &Path) -> io::Result<()> {
    for directory in rest_of(container)? {
        let joined =
            fs::create_dir_all(&directory).and_then(|()| fs::write(directory.join("cgroup.procs"), pid.to_string()));
        if let Err(error) = joined {
            log::warn!("process {pid} does not join {}: {error}", directory.display());
        }
    }
    Ok(())
}

/// The directories of a container in the hierarchies of [`join_the_rest`]; none on cgroup v2.
pub fn rest_of(container: &Path) -> io::Result<Vec<PathBuf>> {
    let membership = own_membership()?;
    if !is_v1(&membership) {
        return Ok(Vec::new());
    }
    let hierarchies = mounted_hierarchies()?;
    let below = container.strip_prefix("/").unwrap_or(container);
    let bare = memberships(&membership).filter(|(controllers, _)| is_bare(controllers));
    Ok(bare
        .filter_map(|(controllers, _)| hierarchy_of(&hierarchies, controllers))
        .map(|one| one.mount_point.join(below))
        .collect())
}

/// Whether a `/proc/PID/cgroup` is one of cgroup v1, alone or beside v2.
fn is_v1(membership: &str) -> bool {
    memberships(membership).any(|(controllers, _)| !controllers.is_empty())
}

fn is_bare(controllers: &str) -> bool {
    controllers.is_empty() || controllers.starts_with("name=")
}

/// Moves this process to where process `pid` is, in every hierarchy.
///
/// # Errors
/// Where a hierarchy refuses; the others are tried all the same.
pub fn join(pid: i32) -> io::Result<()> {
    let hierarchies = mounted_hierarchies()?;
    let theirs = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let mine = own_membership()?;
    let mut joined = Ok(());
    for (controllers, path) in memberships(&theirs).filter(|theirs| !memberships(&mine).any(|mine| mine == *theirs)) {
        if let Some(directory) = directory(&hierarchies, controllers, path) {
            let procs = directory.join("cgroup.procs");
            // 0 is whoever writes.
            joined = joined.and(fs::write(&procs, "0").map_err(|error| {
                io::Error::new(error.kind(), format!("cannot join {}: {error}", directory.display()))
            }));
        }
    }
    joined
}

/// Where this process is in every hierarchy.
pub fn own_directories() -> io::Result<Vec<PathBuf>> {
    let hierarchies = mounted_hierarchies()?;
    let own = own_membership()?;
    Ok(memberships(&own).filter_map(|(names, path)| directory(&hierarchies, names, path)).collect())
}

/// Lets the children of a cgroup have its controllers.
pub fn pass_on(directory: &Path) {
    let words = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let (there, passed) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    for controller in there.split_whitespace().filter(|name| !passed.split_whitespace().any(|other| other == *name)) {
        let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Waits until `pid` is alone: libcontainer's intermediate process, which has made it, is about to exit.
pub fn wait_for_helpers(pid: i32, directories: &[PathBuf]) {
    let Some(directory) = directories.first() else { return };
    let alone = pid.to_string();
    for _ in 0..HELPER_ATTEMPTS {
        let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        if procs.trim() == alone {
            return;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// The cgroups in this one.
pub fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_compared_with_itself_has_no_directories_of_its_own() {
        let me = std::process::id().cast_signed();
        assert!(directories_of(me, &own_membership().unwrap()).unwrap().is_empty());
    }
}
