//! A container's cgroup directories, found through the kernel rather than computed: libcontainer, systemd and the
//! cgroup namespace all have a say in where they are.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    thread,
    time::Duration,
};

/// How often to look whether a helper is gone, every 0.2 ms.
const HELPER_ATTEMPTS: usize = 500;

/// A mounted hierarchy.
pub struct Hierarchy {
    /// What `/proc/PID/cgroup` calls it: controllers, `name=…`, or nothing for cgroup v2.
    pub controllers: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The part of the hierarchy that is mounted there.
    pub root: PathBuf,
}

impl Hierarchy {
    /// Whether it is one of cgroup v1 with controllers.
    pub fn has_controllers(&self) -> bool {
        !self.controllers.is_empty() && !self.controllers.contains("name=")
    }
}

/// The mounted hierarchies of cgroup v1 that have controllers.
pub fn v1_hierarchies() -> io::Result<Vec<Hierarchy>> {
    let mounted = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
    Ok(mounted.into_iter().filter(Hierarchy::has_controllers).collect())
}

/// All mounted hierarchies, each once.
pub fn mounted() -> io::Result<Vec<Hierarchy>> {
    let mut mounted = Vec::<Hierarchy>::new();
    for hierarchy in hierarchies(&fs::read_to_string("/proc/self/mountinfo")?) {
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
        Ok(Self { hierarchies: hierarchies(&fs::read_to_string("/proc/self/mountinfo")?) })
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
    let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
    let inside = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let membership = memberships(&inside).find(|(controllers, _)| controllers.is_empty());
    Ok(membership.and_then(|(controllers, path)| directory(&hierarchies, controllers, path)))
}

/// The directories that process `pid` is in and that `outsider` is not: those made for it.
pub fn directories_of(pid: i32, outsider: &str) -> io::Result<Vec<PathBuf>> {
    let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
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
    let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
    let below = container.strip_prefix("/").unwrap_or(container);
    let bare = memberships(&membership).filter(|(controllers, _)| is_bare(controllers));
    let mounted = |controllers| hierarchies.iter().find(|one| same_controllers(&one.controllers, controllers));
    Ok(bare.filter_map(|(controllers, _)| mounted(controllers)).map(|one| one.mount_point.join(below)).collect())
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
    let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
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
    let hierarchies = hierarchies(&fs::read_to_string("/proc/self/mountinfo")?);
    let own = own_membership()?;
    Ok(memberships(&own).filter_map(|(names, path)| directory(&hierarchies, names, path)).collect())
}

/// This process's own `/proc/self/cgroup`.
pub fn own_membership() -> io::Result<String> {
    fs::read_to_string("/proc/self/cgroup")
}

/// The lines of a `/proc/PID/cgroup`: controllers and path.
pub fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// Where a process is that is in `path` of the hierarchy of `controllers`.
pub fn directory(hierarchies: &[Hierarchy], controllers: &str, path: &str) -> Option<PathBuf> {
    let hierarchy = hierarchies.iter().find(|hierarchy| same_controllers(&hierarchy.controllers, controllers))?;
    let below = Path::new(path).strip_prefix(&hierarchy.root).ok()?;
    // Outside of this process's cgroup namespace the kernel names a cgroup by `..`, which is not below the mount.
    let stays = below.components().all(|part| matches!(part, Component::Normal(_)));
    stays.then(|| hierarchy.mount_point.join(below))
}

/// Whether two lists name the same controllers; mount options have them in another order and among other options.
fn same_controllers(options: &str, controllers: &str) -> bool {
    let options: Vec<&str> = options.split(',').collect();
    if controllers.is_empty() { options == [""] } else { controllers.split(',').all(|name| options.contains(&name)) }
}

/// The cgroup mounts in a mountinfo file (proc_pid_mountinfo(5)).
pub fn hierarchies(mountinfo: &str) -> Vec<Hierarchy> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let (mut left, mut right) = (left.split(' ').skip(3), right.split(' '));
        let (root, mount_point) = (left.next()?, left.next()?);
        let controllers = match right.next()? {
            "cgroup" => right.nth(1)?.to_owned(),
            "cgroup2" => String::new(),
            _ => return None,
        };
        Some(Hierarchy { controllers, mount_point: mount_point.into(), root: root.into() })
    };
    mountinfo.lines().filter_map(parse).collect()
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

    const V1: &str = "\
36 32 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
37 32 0:32 /node /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 32 0:33 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
39 32 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
40 1 8:1 / / rw - ext4 /dev/vda rw";

    #[test]
    fn memberships_become_directories_of_the_right_hierarchy() {
        let hierarchies = hierarchies(V1);
        let directory = |controllers, path| directory(&hierarchies, controllers, path);
        assert_eq!(directory("cpu,cpuacct", "/docker/a"), Some("/sys/fs/cgroup/cpu,cpuacct/docker/a".into()));
        assert_eq!(directory("memory", "/node/docker/a"), Some("/sys/fs/cgroup/memory/docker/a".into()));
        assert_eq!(directory("memory", "/elsewhere"), None);
        assert_eq!(directory("name=systemd", "/x"), Some("/sys/fs/cgroup/systemd/x".into()));
        assert_eq!(directory("", "/y"), Some("/sys/fs/cgroup/unified/y".into()));
        assert_eq!(directory("pids", "/y"), None);
    }

    #[test]
    fn memberships_are_read_with_colons_in_paths() {
        let text = "4:memory:/a:b:c\n0::/user.slice\n";
        assert_eq!(memberships(text).collect::<Vec<_>>(), [("memory", "/a:b:c"), ("", "/user.slice")]);
    }

    #[test]
    fn a_process_compared_with_itself_has_no_directories_of_its_own() {
        let me = std::process::id().cast_signed();
        assert!(directories_of(me, &own_membership().unwrap()).unwrap().is_empty());
    }
}
