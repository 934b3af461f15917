//! The hierarchies of cgroups as they are mounted, and where in them a process is (cgroups(7), proc_pid_mountinfo(5)).

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

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

    /// Where a process is that is in `path` of it.
    pub fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        // Outside of this process's cgroup namespace the kernel names a cgroup by `..`, which is not below the mount.
        let stays = below.components().all(|part| matches!(part, Component::Normal(_)));
        stays.then(|| self.mount_point.join(below))
    }
}

/// This process's own `/proc/self/cgroup`.
pub fn own_membership() -> io::Result<String> {
    fs::read_to_string("/proc/self/cgroup")
}

/// All that are mounted where this process is.
pub fn mounted_hierarchies() -> io::Result<Vec<Hierarchy>> {
    Ok(hierarchies(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// The lines of a `/proc/PID/cgroup`: controllers and path.
pub fn memberships(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// The mounted hierarchy that `/proc/PID/cgroup` calls `controllers`.
pub fn hierarchy_of<'a>(hierarchies: &'a [Hierarchy], controllers: &str) -> Option<&'a Hierarchy> {
    hierarchies.iter().find(|hierarchy| same_controllers(&hierarchy.controllers, controllers))
}

/// Where a process is that is in `path` of the hierarchy of `controllers`.
pub fn directory(hierarchies: &[Hierarchy], controllers: &str, path: &str) -> Option<PathBuf> {
    hierarchy_of(hierarchies, controllers)?.directory(path)
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
}
