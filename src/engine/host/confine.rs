//! What workers are held to, and what the host itself has more of.
//!
//! A worker reads what guests give it, so it is the one to die where memory is short: not protected from the kernel's
//! killer, as containerd protects its children, and in a cgroup of its own with a bound. The host has a descriptor or two
//! per container, so it raises its own limit; what it makes gets the limits back that containerd gave it, as under runc.

use std::{fs, io, os::fd::BorrowedFd};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sandbox::WorkersCgroup;

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// What a worker does first of all.
pub struct Confinement {
    /// The limit on descriptors as it was, soft and hard.
    descriptors: Option<(u64, u64)>,
    /// The host is protected from the kernel's killer.
    protected: bool,
    cgroup: Option<WorkersCgroup>,
}

impl Confinement {
    /// Raises this process's own limit on descriptors as far as it may, and makes the workers' cgroup. What cannot be had
    /// costs a message.
    pub fn prepare() -> Self {
        let descriptors = raise_descriptors()
            .inspect_err(|error| log::warn!("the limit on descriptors stays as it is: {error}"))
            .unwrap_or_default();
        let score = fs::read_to_string(OOM_SCORE_ADJ).ok().and_then(|text| text.trim().parse::<i32>().ok());
        let cgroup = WorkersCgroup::make()
            .inspect_err(|error| log::warn!("workers have no cgroup of their own: {error:#}"))
            .ok();
        Self { descriptors, protected: score.is_none_or(|score| score < 0), cgroup }
    }

    /// None at all.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { descriptors: None, protected: false, cgroup: None }
    }

    /// The cgroup of cgroup v2 that a worker is to be born in.
    pub fn unified(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref().and_then(WorkersCgroup::unified)
    }

    /// Done by a worker first of all.
    ///
    /// # Errors
    /// What cannot be given back or taken away. A cgroup that is gone is no reason not to work.
    pub fn enter(&self) -> io::Result<()> {
        if self.protected {
            fs::write(OOM_SCORE_ADJ, "0")
                .map_err(|error| io::Error::new(error.kind(), format!("cannot write {OOM_SCORE_ADJ}: {error}")))?;
        }
        if let Some(Err(error)) = self.cgroup.as_ref().map(WorkersCgroup::enter) {
            log::warn!("{error}");
        }
        self.give_descriptors_back()
    }

    /// Sets the limit on descriptors to what it was.
    pub fn give_descriptors_back(&self) -> io::Result<()> {
        let Some((soft, hard)) = self.descriptors else { return Ok(()) };
        Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?)
    }
}

/// Raises the soft limit to the hard one; what they were, unless they were the same.
fn raise_descriptors() -> io::Result<Option<(u64, u64)>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft == hard {
        return Ok(None);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(Some((soft, hard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_descriptors_is_raised_once_and_known_as_it_was() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let before = hard.min(256);
        setrlimit(Resource::RLIMIT_NOFILE, before - 1, before).unwrap();
        assert_eq!(raise_descriptors().unwrap(), Some((before - 1, before)));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (before, before));
        assert_eq!(raise_descriptors().unwrap(), None);
        // Only the soft limit goes up again.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(before), hard);
    }
}
