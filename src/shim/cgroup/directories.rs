//! Reading a container's cgroup directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of a container's cgroups.
#[derive(Debug, Clone, Default)]
pub struct Cgroups {
    directories: Vec<PathBuf>,
}

impl Cgroups {
    /// Of these directories: one per hierarchy on v1, a single one on v2.
    pub fn new(directories: Vec<PathBuf>) -> Self {
        Self { directories }
    }

    /// Whether this is cgroup v2, which alone has this file in every cgroup.
    pub fn is_v2(&self) -> bool {
        self.directories.iter().any(|directory| directory.join("cgroup.controllers").exists())
            && self.directories.len() == 1
    }

    /// The cgroups that these are in.
    pub fn parent(&self) -> Self {
        Self::new(self.directories.iter().filter_map(|directory| directory.parent()).map(Into::into).collect())
    }

    /// Where the file `name` is, in whichever hierarchy has it.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.directories.iter().map(|directory| directory.join(name)).find(|path| path.exists())
    }

    /// Contents of the file `name`, from whichever hierarchy has it.
    pub fn read(&self, name: &str) -> Option<String> {
        self.directories.iter().find_map(|directory| fs::read_to_string(directory.join(name)).ok())
    }

    /// A file with one number; `max` counts as the largest.
    pub fn number(&self, name: &str) -> Option<u64> {
        number(&self.read(name)?)
    }

    /// A file of lines `KEY NUMBER`.
    pub fn table(&self, name: &str) -> Vec<(String, u64)> {
        table(&self.read(name).unwrap_or_default())
    }

    /// Process ids in the container's cgroup and in those below, sorted.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        if let Some(directory) = self.directories.first() {
            collect(directory, &mut pids);
        }
        pids.sort_unstable();
        pids
    }
}

/// The number in a file of one.
pub fn number(text: &str) -> Option<u64> {
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

/// The lines `KEY NUMBER` of a file.
pub fn table(text: &str) -> Vec<(String, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
        .collect()
}

fn collect(directory: &Path, pids: &mut Vec<u32>) {
    let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    // 0 is one that this pid namespace does not have; as the target of a signal it would be our own process group.
    pids.extend(procs.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), pids);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_whichever_hierarchy_has_them() {
        let (memory, pids) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(memory.path().join("memory.usage_in_bytes"), "4096\n").unwrap();
        fs::write(pids.path().join("pids.max"), "max\n").unwrap();
        fs::write(pids.path().join("cpu.stat"), "nr_periods 3\nbroken\nnr_throttled 1\n").unwrap();
        let cgroups = Cgroups::new(vec![memory.path().into(), pids.path().into()]);
        assert_eq!(cgroups.number("memory.usage_in_bytes"), Some(4096));
        assert_eq!(cgroups.number("pids.max"), Some(u64::MAX));
        assert_eq!(cgroups.number("nothing"), None);
        assert_eq!(cgroups.table("cpu.stat"), [("nr_periods".into(), 3), ("nr_throttled".into(), 1)]);
        assert!(!cgroups.is_v2());
    }

    #[test]
    fn processes_of_cgroups_below_count_as_well() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("cgroup.procs"), "30\n0\n10\n").unwrap();
        fs::create_dir(top.path().join("child")).unwrap();
        fs::write(top.path().join("child/cgroup.procs"), "20\n").unwrap();
        assert_eq!(Cgroups::new(vec![top.path().into()]).processes(), [10, 20, 30]);
    }
}
