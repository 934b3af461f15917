//! The cgroup of the node's compilers, `wasmedge-compilers`: beside the engine host's, so that all of them together have one
//! bound on memory and processors, and the last place at both.
//!
//! Where none can be made the compilers go without, each with its own bounds only, and the log says so once.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::hierarchies::{Hierarchy, hierarchy_of, memberships, mounted_hierarchies, own_membership};

const NAME: &str = "wasmedge-compilers";

/// The time in which the bound on processors is kept, in microseconds.
const PERIOD: u64 = 100_000;

/// Their weight against other cgroups', of which each has 100 (1024 on cgroup v1): little, but not so little that on a busy node
/// those who wait for native code wait for ever.
const WEIGHT: u64 = 10;

/// Bounds of all compilers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most memory, in bytes.
    pub memory: u64,
    /// Most processors.
    pub processors: u64,
}

/// One place of the cgroup: a hierarchy of cgroup v1, or cgroup v2.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// None on cgroup v2.
    controllers: Option<String>,
    /// Where it is mounted, below which controllers are passed on.
    pub(super) top: PathBuf,
}

/// Makes the cgroup, so that it is there before anybody needs it.
pub fn prepare() {
    for place in places().unwrap_or_default() {
        // Whoever needs it tries again and tells.
        let _ = place.make();
    }
}

/// Moves this process to the cgroup, with these bounds.
///
/// # Errors
/// What this node does not let us do; the process is where it can be.
pub fn join(bounds: Bounds) -> io::Result<()> {
    let places = places()?;
    if places.is_empty() {
        return Err(io::Error::other("no cgroup hierarchy has a memory and a cpu controller"));
    }
    let mut joined = Ok(());
    for place in places {
        // Without a bound its weight is worth something.
        let bounded = place.make().and_then(|()| place.bound(bounds));
        joined = joined.and(place.join()).and(bounded);
    }
    joined
}

impl Place {
    fn make(&self) -> io::Result<()> {
        if self.controllers.is_none() {
            pass_on(&self.top, &self.directory)?;
        }
        match fs::create_dir(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(named(&self.directory, &error)),
            _ => Ok(()),
        }
    }

    fn bound(&self, bounds: Bounds) -> io::Result<()> {
        let set = |name: &str, value: String| {
            let path = self.directory.join(name);
            fs::write(&path, value).map_err(|error| named(&path, &error))
        };
        let quota = bounds.processors * PERIOD;
        let Some(controllers) = &self.controllers else {
            set("memory.max", bounds.memory.to_string())?;
            set("cpu.max", format!("{quota} {PERIOD}"))?;
            return set("cpu.weight", WEIGHT.to_string());
        };
        for controller in controllers.split(',') {
            match controller {
                "memory" => set("memory.limit_in_bytes", bounds.memory.to_string())?,
                "cpu" => {
                    set("cpu.cfs_period_us", PERIOD.to_string())?;
                    set("cpu.cfs_quota_us", quota.to_string())?;
                    set("cpu.shares", (WEIGHT * 1024 / 100).to_string())?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn join(&self) -> io::Result<()> {
        // A thread that moves itself waits for nobody; cgroup v2 moves processes only.
        let file = if self.controllers.is_some() { "tasks" } else { "cgroup.procs" };
        let path = self.directory.join(file);
        fs::write(&path, "0").map_err(|error| named(&path, &error))
    }
}

/// Lets the cgroups above `directory` pass the two controllers on. Those that do already are left alone.
fn pass_on(top: &Path, directory: &Path) -> io::Result<()> {
    let mut above: Vec<&Path> = directory.ancestors().skip(1).take_while(|path| path.starts_with(top)).collect();
    above.reverse();
    for path in above {
        let file = path.join("cgroup.subtree_control");
        let passed = fs::read_to_string(&file).map_err(|error| named(&file, &error))?;
        for controller in
            ["memory", "cpu"].into_iter().filter(|name| !passed.split_whitespace().any(|one| one == *name))
        {
            fs::write(&file, format!("+{controller}")).map_err(|error| named(&file, &error))?;
        }
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn places() -> io::Result<Vec<Place>> {
    Ok(find(&mounted_hierarchies()?, &own_membership()?))
}

/// The places by what a process can see of its cgroups.
pub(super) fn find(mounted: &[Hierarchy], membership: &str) -> Vec<Place> {
    let mut places = Vec::<Place>::new();
    for (controllers, path) in memberships(membership) {
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|name| matches!(name, "memory" | "cpu")) {
            continue;
        }
        let Some(hierarchy) = hierarchy_of(mounted, controllers) else { continue };
        let Some(own) = hierarchy.directory(path) else { continue };
        let top = &hierarchy.mount_point;
        // Beside where this process is; at the top there is no beside.
        let beside = if own == *top { top } else { own.parent().unwrap_or(top) };
        let controllers = (!v2).then(|| controllers.to_owned());
        places.push(Place { directory: beside.join(NAME), controllers, top: top.clone() });
    }
    // In the hybrid layout cgroup v2 has no controllers of its own.
    let v1 = places.iter().any(|place| place.controllers.is_some());
    places.retain(|place| place.controllers.is_some() == v1);
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hierarchies::hierarchies;

    #[test]
    fn on_v1_it_is_beside_the_host_s_in_the_hierarchies_that_bound() {
        let mountinfo = "\
36 32 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
37 32 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 32 0:33 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
39 32 0:34 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
        let membership = "4:memory:/system.slice/containerd.service\n3:cpu,cpuacct:/\n2:name=systemd:/x\n0::/init\n";
        let places = find(&hierarchies(mountinfo), membership);
        let directories: Vec<_> = places.iter().map(|place| place.directory.to_str().unwrap()).collect();
        let expected =
            ["/sys/fs/cgroup/memory/system.slice/wasmedge-compilers", "/sys/fs/cgroup/cpu,cpuacct/wasmedge-compilers"];
        assert_eq!(directories, expected);
    }

    #[test]
    fn on_v2_there_is_one() {
        let mountinfo = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let places = find(&hierarchies(mountinfo), "0::/system.slice/containerd.service\n");
        assert_eq!(places.len(), 1);
        assert_eq!(places[0].directory.to_str(), Some("/sys/fs/cgroup/system.slice/wasmedge-compilers"));
        assert_eq!(places[0].controllers, None);
        let at_top = find(&hierarchies(mountinfo), "0::/\n");
        assert_eq!(at_top[0].directory.to_str(), Some("/sys/fs/cgroup/wasmedge-compilers"));
        assert_eq!(find(&[], "0::/\n"), []);
    }

    #[test]
    fn a_cgroup_out_of_sight_is_left_alone() {
        let mountinfo = "37 32 0:32 /elsewhere /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        assert_eq!(find(&hierarchies(mountinfo), "4:memory:/system.slice/containerd.service\n"), []);
    }
}
