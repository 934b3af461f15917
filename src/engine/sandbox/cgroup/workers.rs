//! The cgroup of the host's workers, with a bound on their memory: they read what guests give them.
//!
//! On cgroup v1 it is below the host's own in the hierarchy of the memory controller, so that what bounds containerd bounds
//! it as well. On v2 a cgroup with controllers for its children has no processes of its own, so it is beside the host's.
//! Workers enter it without waiting for the kernel, as containers do theirs, see [`super::birth`].

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::directories::{self, Mounted};
use crate::hierarchies::own_membership;

/// Its name.
const NAME: &str = "wasmedge-workers";

/// The bound is this part of the node's memory. Pages that a container shares with the worker that made it stay counted
/// here as long as the container lives, and larger nodes have more containers.
const PART_OF_MEMORY: u64 = 4;

/// The least bound, in bytes.
const LEAST: u64 = 512 << 20;

/// A way into the cgroup.
pub enum WorkersCgroup {
    /// Of cgroup v1: its file `tasks`, in which a thread can name itself.
    V1(PathBuf, File),
    /// Of cgroup v2: its directory, in which a process can be born.
    V2(OwnedFd),
}

impl WorkersCgroup {
    /// Makes the cgroup beside or below this process's own, unless it is there already.
    ///
    /// # Errors
    /// Names what cannot be made or bounded.
    pub fn make() -> Result<Self> {
        let mounted = Mounted::read().context("cannot read the table of mounts")?;
        let own = own_membership().context("cannot read /proc/self/cgroup")?;
        match mounted.directory_with(&own, "memory") {
            Some(own) => Self::below(&own),
            None => Self::beside(&mounted.directory_with(&own, "").context("there is no memory controller")?, &mounted),
        }
    }

    fn below(own: &Path) -> Result<Self> {
        let directory = own.join(NAME);
        make(&directory, "memory.limit_in_bytes")?;
        let tasks = directory.join("tasks");
        let file = OpenOptions::new().write(true).open(&tasks).with_context(|| format!("{}", tasks.display()))?;
        Ok(Self::V1(tasks, file))
    }

    fn beside(own: &Path, mounted: &Mounted) -> Result<Self> {
        let parent = if mounted.is_top(own) { Some(own) } else { own.parent() };
        let directory = parent.context("the host's cgroup has no parent")?.join(NAME);
        if let Some(parent) = parent {
            directories::pass_on(parent);
        }
        make(&directory, "memory.max")?;
        Ok(Self::V2(File::open(&directory).with_context(|| format!("{}", directory.display()))?.into()))
    }

    /// The cgroup for clone3(2) with `CLONE_INTO_CGROUP`.
    pub fn unified(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V1(..) => None,
            Self::V2(directory) => Some(directory.as_fd()),
        }
    }

    /// Moves this thread, the only one of its process, where it was not born.
    ///
    /// # Errors
    /// Names the file.
    pub fn enter(&self) -> io::Result<()> {
        let Self::V1(path, tasks) = self else { return Ok(()) };
        // 0 is whoever writes.
        (&*tasks).write_all(b"0").map_err(|error| {
            io::Error::new(error.kind(), format!("the worker does not join {}: {error}", path.display()))
        })
    }
}

/// Makes the cgroup and bounds it through its file `limit`.
fn make(directory: &Path, limit: &str) -> Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make cgroup {}", directory.display()));
        }
        _ => {}
    }
    let total = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let bytes = part(&total).context("/proc/meminfo does not tell the node's memory")?;
    let file = directory.join(limit);
    fs::write(&file, bytes.to_string()).with_context(|| {
        // Without a bound it is of no use.
        let _ = fs::remove_dir(directory);
        format!("cannot write {bytes} to {}", file.display())
    })
}

/// The bound on a node with this `/proc/meminfo`, in bytes.
fn part(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib.saturating_mul(1024) / PART_OF_MEMORY).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_a_part_of_the_node_s_memory_and_never_too_small() {
        assert_eq!(part("MemTotal:       16777216 kB\nMemFree: 1 kB\n"), Some(4 << 30));
        assert_eq!(part("MemTotal:         524288 kB\n"), Some(LEAST));
        assert_eq!(part("MemFree: 1 kB\n"), None);
    }
}
