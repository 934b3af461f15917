//! How a new process gets into its cgroups without the kernel waiting for every processor.
//!
//! To move a process by its id, or all threads of one, the kernel takes `cgroup_threadgroup_rwsem` for writing, which begins
//! with an RCU grace period: 5 to 15 ms (kernel/cgroup/cgroup.c, `cgroup_procs_write_start`). Two ways do without: a thread
//! that moves itself (`0` written to `tasks`, cgroup v1), and a process that is born where it belongs (`CLONE_INTO_CGROUP`,
//! cgroup v2, Linux 5.7).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, sys::stat::Mode};

use super::directories;

/// A file that cgroup v1 has, and v2 has not.
const TASKS: &str = "tasks";
const PROCS: &str = "cgroup.procs";

/// Opened ways into cgroups. They lead there from any namespace: the kernel asks what their opener was allowed (since
/// Linux 5.16, `cgroup_procs_write` in kernel/cgroup/cgroup.c).
pub struct Birth {
    own_tasks: Vec<(PathBuf, File)>,
    unified: Option<Unified>,
}

struct Unified {
    path: PathBuf,
    directory: OwnedFd,
    procs: File,
}

impl Birth {
    /// Into the cgroups at `directories`: one per hierarchy of cgroup v1, at most one of v2.
    ///
    /// # Errors
    /// Names what cannot be opened.
    pub fn into(directories: &[PathBuf]) -> io::Result<Self> {
        let mut birth = Self { own_tasks: Vec::new(), unified: None };
        for directory in directories {
            let tasks = directory.join(TASKS);
            match open(&tasks) {
                Ok(file) => birth.own_tasks.push((tasks, file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    birth.unified = Some(Unified::open(directory)?)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(birth)
    }

    /// The same for another process of the container whose init is process `init`. On cgroup v2 processes live in leaves
    /// only: where the container has made cgroups of its own below, a new process goes where the init is.
    pub fn beside(directories: &[PathBuf], init: i32) -> io::Result<Self> {
        let mut birth = Self::into(directories)?;
        if let Some(unified) = &birth.unified
            && has_children(&unified.path)
            && let Some(leaf) = directories::unified_of(init)?.filter(|leaf| leaf.starts_with(&unified.path))
        {
            birth.unified = Some(Unified::open(&leaf)?);
        }
        Ok(birth)
    }

    /// The cgroup for clone3(2) with `CLONE_INTO_CGROUP`.
    pub fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref().map(|unified| unified.directory.as_fd())
    }

    /// Done first of all by the new process. `born` tells whether it was cloned into [`Self::unified`].
    ///
    /// # Errors
    /// Names the cgroup that refuses.
    pub fn arrive(&self, born: bool) -> io::Result<()> {
        let unified = self.unified.iter().filter(|_| !born).map(|unified| (&unified.path, &unified.procs));
        for (path, file) in self.own_tasks.iter().map(|(path, file)| (path, file)).chain(unified) {
            // 0 is whoever writes.
            (&*file).write_all(b"0").map_err(|error| named("cannot join", path, &error))?;
        }
        Ok(())
    }
}

impl Unified {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let directory =
            nix::fcntl::open(path, flags, Mode::empty()).map_err(|errno| named("cannot open", path, &errno.into()))?;
        Ok(Self { path: path.to_owned(), directory, procs: open(&path.join(PROCS))? })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path).map_err(|error| named("cannot open", path, &error))
}

fn named(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{doing} {}: {error}", path.display()))
}

fn has_children(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
}

/// Whether clone3 has failed for reasons that [`Birth::arrive`] may overcome: an older kernel, a place out of the caller's
/// sight or rights.
pub fn may_arrive_later(errno: Errno) -> bool {
    matches!(errno, Errno::EINVAL | Errno::E2BIG | Errno::EACCES | Errno::EPERM | Errno::ENOENT | Errno::EOPNOTSUPP)
}
