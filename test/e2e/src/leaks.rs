//! Everything that can be counted in the node.
//!
//! Things have names without process ids, so that a service which a test has restarted is the same thing as before;
//! a name that occurs more or less often than before is a difference.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
    thread::sleep,
    time::Duration,
};

use crate::{engine, process::Process, within};

/// How long what is on its way out may take to go.
const SETTLE: Duration = Duration::from_secs(5);

/// Where containers of every kind leave files, sockets and FIFOs.
const FOLDERS: [(&str, usize); 4] = [
    ("/run", usize::MAX),
    ("/tmp", 1),
    ("/var/lib/containerd/io.containerd.runtime.v2.task", 2),
    ("/sys/class/net", 1),
];

/// What comes and goes with the cache of native code, which outlives containers.
const CACHE: (&str, &str) = ("wasmedge-aot", "/run/containerd-shim-wasmedge/aot");

/// The node at one moment: how many there are of each thing, with what tells them apart.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    things: BTreeMap<String, Vec<String>>,
}

impl Snapshot {
    /// Counts now.
    pub fn take() -> Self {
        let mut snapshot = Self::default();
        snapshot.add_processes();
        snapshot.add_mounts();
        for (folder, depth) in FOLDERS {
            snapshot.add_files(Path::new(folder), depth);
        }
        snapshot.add_cgroups(Path::new("/sys/fs/cgroup"));
        snapshot.add_descriptors();
        snapshot
    }

    /// Counts when the node has come to rest: twice the same.
    pub fn settled() -> Self {
        let mut last = Self::take();
        for _ in 0..50 {
            sleep(Duration::from_millis(50));
            let now = Self::take();
            if last.differences(&now).is_empty() {
                return now;
            }
            last = now;
        }
        last
    }

    /// Waits until the node holds what it held at `self`; panics with the differences if it never does.
    #[track_caller]
    pub fn expect_the_same(&self) {
        let mut left = Vec::new();
        let same = within(SETTLE, || {
            left = self.differences(&Self::take());
            left.is_empty().then_some(())
        });
        assert!(
            same.is_some(),
            "the node is not as before the test:\n  {}\n  {}",
            left.join("\n  "),
            crate::node::hint()
        );
    }

    /// One line for each difference: what `later` has more (+) than `self`, and which processes and sockets it has
    /// less (-). That other things go late, after what an earlier test has removed, is no fault.
    pub fn differences(&self, later: &Self) -> Vec<String> {
        let none = Vec::new();
        let mut names: Vec<_> = self.things.keys().chain(later.things.keys()).collect();
        names.sort();
        names.dedup();
        let mut differences = Vec::new();
        for name in names {
            let (before, after) = (self.things.get(name).unwrap_or(&none), later.things.get(name).unwrap_or(&none));
            if after.len() > before.len() {
                let new: Vec<_> = after.iter().filter(|detail| !before.contains(detail)).cloned().collect();
                differences.push(format!("+{} {name} {}", after.len() - before.len(), new.join(" ")));
            } else if after.len() < before.len() && (name.starts_with("process ") || name.starts_with("socket ")) {
                let gone: Vec<_> = before.iter().filter(|detail| !after.contains(detail)).cloned().collect();
                differences.push(format!("-{} {name} {}", before.len() - after.len(), gone.join(" ")));
            }
        }
        differences
    }

    fn add(&mut self, name: String, detail: String) {
        self.things.entry(of_any_host(&name)).or_default().push(detail);
    }

    /// Processes but this one and its children, and the network namespaces they are in.
    fn add_processes(&mut self) {
        let me = std::process::id().cast_signed();
        let mut networks = Vec::new();
        for process in Process::all() {
            if process.pid == me || process.parent == me || process.name == CACHE.0 {
                continue;
            }
            let kind = if process.state == 'Z' { "zombie" } else { "process" };
            let Process { pid, name, command, parent, .. } = &process;
            // A host that took another's place is the same thing.
            let command = command.split(" --beside=").next().unwrap_or_default();
            self.add(format!("{kind} {name}: {command}"), format!("(pid {pid}, child of {parent})"));
            networks.extend(process.namespace("net"));
        }
        networks.sort();
        networks.dedup();
        for network in networks {
            self.add("network namespace".into(), network);
        }
    }

    fn add_mounts(&mut self) {
        let Ok(text) = fs::read_to_string("/proc/self/mountinfo") else { return };
        for line in text.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let kind = fields.iter().position(|field| *field == "-").and_then(|dash| fields.get(dash + 1));
            let root = fields.get(3).filter(|root| root.starts_with("net:")).unwrap_or(&"");
            let (target, kind) = (fields.get(4).unwrap_or(&""), kind.unwrap_or(&""));
            self.add(format!("mount {target} ({kind}{root})"), String::new());
        }
    }

    /// Files of all kinds in `folder`, without going into other file systems.
    fn add_files(&mut self, folder: &Path, depth: usize) {
        let device = |path: &Path| fs::symlink_metadata(path).map(|meta| meta.dev()).ok();
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if path == Path::new(CACHE.1) {
                continue;
            }
            let kind_name = match kind {
                kind if kind.is_dir() => "directory",
                kind if kind.is_socket() => "socket",
                kind if kind.is_fifo() => "FIFO",
                _ => "file",
            };
            // Each dockerd gives its socket for networks another name.
            let name = if folder == Path::new("/run/docker/libnetwork") { folder.join("*") } else { path.clone() };
            self.add(format!("{kind_name} {}", name.display()), String::new());
            if kind.is_dir() && depth > 1 && device(&path) == device(folder) {
                self.add_files(&path, depth - 1);
            }
        }
    }

    fn add_cgroups(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(format!("cgroup {}", entry.path().display()), String::new());
                self.add_cgroups(&entry.path());
            }
        }
    }

    /// Descriptors of the processes that live on after a container. Not dockerd's sockets: it leaves connections of
    /// clients that are gone open for a while. Nor containerd's handles of processes that have ended, which make user namespaces
    /// for it: its garbage collector closes them.
    fn add_descriptors(&mut self) {
        for process in engine::services() {
            for (_, target) in process.descriptors() {
                // Sockets and pipes have numbers of their own.
                let kind = target.split_once(":[").filter(|(kind, _)| matches!(*kind, "socket" | "pipe" | "net"));
                let kind = kind.map_or(target.as_str(), |(kind, _)| kind);
                let others = [("dockerd", "socket"), ("containerd", "anon_inode:[pidfd]")];
                if !others.contains(&(&*process.name, kind)) {
                    self.add(format!("descriptor of {}: {kind}", process.name), String::new());
                }
            }
        }
    }
}

/// A name without what tells a host's socket from that of another engine's file: one that is unpacked again is another file.
fn of_any_host(name: &str) -> String {
    let begin = format!("{}/host-", engine::STATE);
    let parts = name.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(".sock")?.1)));
    parts.map_or_else(|| name.to_owned(), |(before, behind)| format!("{before}{begin}*.sock{behind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(things: &[(&str, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, detail) in things {
            snapshot.add((*name).into(), (*detail).into());
        }
        snapshot
    }

    #[test]
    fn more_and_less_are_differences_and_other_ids_are_not() {
        let before = of(&[("process a", "(pid 1)"), ("process b", "(pid 2)"), ("descriptor of c: socket", "")]);
        let after = of(&[("process a", "(pid 3)"), ("process a", "(pid 4)")]);
        assert_eq!(before.differences(&after), ["+1 process a (pid 3) (pid 4)", "-1 process b (pid 2)"]);
        assert!(before.differences(&before).is_empty());
        let restarted = of(&[("process a", "(pid 5)"), ("process b", "(pid 6)")]);
        assert!(before.differences(&restarted).is_empty());
    }

    #[test]
    fn a_host_of_an_engine_that_was_unpacked_again_is_none_more() {
        let socket = |number| format!("socket {}/host-3a-{number}.sock ", engine::STATE);
        let before = of(&[(&socket(1), "")]);
        assert!(before.differences(&of(&[(&socket(2), "")])).is_empty());
        assert_eq!(before.differences(&of(&[(&socket(1), ""), (&socket(2), "")])).len(), 1);
    }

    #[test]
    fn a_new_process_and_file_are_found() {
        let before = Snapshot::take();
        let file = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let found = before.differences(&Snapshot::take());
        let name = format!("+1 file {} ", file.path().display());
        assert!(found.contains(&name), "{found:?}");
    }
}
