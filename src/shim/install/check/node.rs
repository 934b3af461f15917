//! The node by itself: kernel, cgroups, namespaces, memory for records.

use std::path::Path;

use super::Finding;
use crate::install::{root::Root, version::Version};

/// `cgroup.kill`, by which a container ends as a whole.
const KERNEL: Version = Version { major: 5, minor: 14 };
/// Exit codes of containers outlive the engine host from here on.
const KERNEL_WITH_EXITS: Version = Version { major: 6, minor: 15 };
/// What should be free in /run, in bytes.
const FREE: u64 = 64 << 20;

/// All of them.
pub fn findings(root: &Root) -> Vec<Finding> {
    let text = |path: &str| root.text(Path::new(path)).ok().flatten();
    let mut found = Vec::new();
    if let Ok(name) = nix::sys::utsname::uname() {
        found.push(kernel(&name.release().to_string_lossy()));
    }
    found.push(cgroups(root));
    if let Some(most) = text("/proc/sys/user/max_user_namespaces") {
        found.push(user_namespaces(most.trim()));
    }
    found.extend(space(root));
    found
}

fn kernel(release: &str) -> Finding {
    match release.parse::<Version>() {
        Ok(version) if version < KERNEL => Finding::warning(
            format!("Linux {release} has no cgroup.kill: a container that forks fast is slow to end"),
            format!("use Linux {KERNEL} or later"),
        ),
        Ok(version) if version < KERNEL_WITH_EXITS => {
            Finding::ok(format!("Linux {release}; from {KERNEL_WITH_EXITS} on exit codes outlive a killed engine host"))
        }
        Ok(_) => Finding::ok(format!("Linux {release}")),
        Err(_) => Finding::warning(format!("Linux {release}: the version is not understood"), "none"),
    }
}

fn cgroups(root: &Root) -> Finding {
    if root.has(Path::new("/sys/fs/cgroup/cgroup.controllers")) {
        return Finding::ok("cgroup v2");
    }
    match root.has(Path::new("/sys/fs/cgroup/memory")) {
        true => Finding::warning(
            "cgroup v1: a freezer can be held up by a process that forks",
            "boot with systemd.unified_cgroup_hierarchy=1",
        ),
        false => Finding::fault("no cgroups are mounted at /sys/fs/cgroup", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"),
    }
}

fn user_namespaces(most: &str) -> Finding {
    match most {
        "0" => Finding::warning(
            "user.max_user_namespaces is 0: pods with hostUsers: false do not start, and compilers are confined less",
            "sysctl user.max_user_namespaces=15000, and the same in /etc/sysctl.d",
        ),
        most => Finding::ok(format!("user namespaces: up to {most}")),
    }
}

fn space(root: &Root) -> Option<Finding> {
    let run = nix::sys::statvfs::statvfs(&root.at(Path::new("/run")).ok()?).ok()?;
    let free = run.blocks_available() * run.fragment_size();
    Some(match free < FREE {
        true => Finding::warning(
            format!("{} MiB are free in /run: records of containers take 20 kB each", free >> 20),
            "mount -o remount,size=… /run, 64 MiB more than now",
        ),
        false => Finding::ok(format!("{} MiB are free in /run", free >> 20)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::check::Level;

    #[test]
    fn old_kernels_and_missing_things_are_told() {
        assert_eq!(kernel("6.16.3-amd64").level, Level::Ok);
        assert_eq!(kernel("6.1.0-40-amd64").level, Level::Ok);
        let old = kernel("5.10.0-30-amd64");
        assert_eq!(old.level, Level::Warning);
        assert!(old.found.contains("cgroup.kill") && old.repair.unwrap().contains("5.14"));
        assert_eq!(user_namespaces("0").level, Level::Warning);
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        assert_eq!(cgroups(&root).level, Level::Fault);
        std::fs::create_dir_all(dir.path().join("sys/fs/cgroup/memory")).unwrap();
        assert_eq!(cgroups(&root).level, Level::Warning);
        std::fs::write(dir.path().join("sys/fs/cgroup/cgroup.controllers"), "memory\n").unwrap();
        assert_eq!(cgroups(&root).level, Level::Ok);
    }
}
