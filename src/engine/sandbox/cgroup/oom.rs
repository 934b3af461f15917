//! Whether the kernel has killed a process for want of memory while a container, or a program in one, was being made. A process
//! that is killed says nothing, so its maker looks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::directories;

/// The kernel's kills since some moment.
pub struct Kills {
    cgroups: Vec<PathBuf>,
    before: u64,
}

impl Kills {
    /// All of these cgroups, which were just made.
    pub fn in_new(cgroups: &[PathBuf]) -> Self {
        Self { cgroups: cgroups.to_owned(), before: 0 }
    }

    /// Those of these cgroups from now on.
    pub fn from_now(cgroups: &[PathBuf]) -> Self {
        Self { cgroups: cgroups.to_owned(), before: count(cgroups) }
    }

    /// Those of the whole node from now on, for whom it is not known where a container's cgroup is or whether it stays. On
    /// cgroup v2, where a cgroup counts what is below it (cgroup-v2.rst, memory.events); elsewhere nothing is seen.
    pub fn of_the_node() -> io::Result<Self> {
        let v2 = |top: &&PathBuf| top.join("cgroup.controllers").exists();
        let tops: Vec<PathBuf> = directories::mounted()?.into_iter().map(|hierarchy| hierarchy.mount_point).collect();
        let top = tops.iter().filter(|_| tops.len() == 1).find(v2);
        let all = top.map(|top| directories::children(top)).unwrap_or_default();
        Ok(Self { before: count(&all), cgroups: all })
    }

    /// Whether there was one.
    pub fn any(&self) -> bool {
        count(&self.cgroups) > self.before
    }
}

/// How many processes the kernel has killed in these cgroups, and on cgroup v2 below them; none where it does not count.
pub fn count(cgroups: &[PathBuf]) -> u64 {
    cgroups.iter().map(|directory| count_in(directory)).sum()
}

fn count_in(directory: &Path) -> u64 {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    // On cgroup v1 one of many has it.
    let text = read("memory.oom_control").or_else(|| read("memory.events")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_seen_in_either_version_and_old_ones_are_none() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cgroups = [one.path().to_owned(), two.path().to_owned()];
        assert!(!Kills::in_new(&cgroups).any());
        fs::write(one.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n").unwrap();
        assert!(Kills::in_new(&cgroups).any());
        let later = Kills::from_now(&cgroups);
        assert!(!later.any());
        fs::write(two.path().join("memory.events"), "oom 5\noom_kill 1\noom_group_kill 0\n").unwrap();
        assert!(later.any());
    }
}
