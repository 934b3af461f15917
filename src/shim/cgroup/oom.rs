//! Noticing that the kernel killed a process of a container for want of memory.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tokio::io::unix::AsyncFd;

use super::directories::Cgroups;

/// The kernel's kills of a container's processes.
#[derive(Debug, Default)]
pub struct Kills {
    /// Those that have been asked about.
    told: AtomicU64,
    /// Those in the parent's cgroup and below when the container was made, where the version counts so.
    beside: Option<u64>,
}

impl Kills {
    /// Of a container that was just made.
    pub fn new(cgroups: &Cgroups) -> Self {
        Self { told: AtomicU64::default(), beside: count(&cgroups.parent()) }
    }

    /// Whether there was one since the last call.
    pub fn are_new(&self, cgroups: &Cgroups) -> bool {
        let kills = count(cgroups).unwrap_or(0);
        self.told.fetch_max(kills, Ordering::Relaxed) < kills
    }

    /// Whether one is to be inferred, of a container whose only process was killed by nobody that is known. systemd
    /// removes the cgroup of a scope as soon as it is empty, and its count with it, but on v2 the parent's count has
    /// the container's in it (cgroup-v2.rst, memory.events) and stays.
    pub fn are_likely(&self, cgroups: &Cgroups) -> bool {
        let unseen = self.told.load(Ordering::Relaxed) == 0 && count(cgroups).is_none();
        unseen && self.beside.is_some_and(|before| count(&cgroups.parent()).is_some_and(|now| now > before))
    }
}

/// How many processes of these cgroups the kernel has killed so far; `None` where it does not count them.
fn count(cgroups: &Cgroups) -> Option<u64> {
    let file = if cgroups.is_v2() { "memory.events" } else { "memory.oom_control" };
    cgroups.table(file).into_iter().find(|(key, _)| key == "oom_kill").map(|(_, count)| count)
}

/// Says when to look at [`kills`] again.
pub struct Watch {
    notifier: AsyncFd<OwnedFd>,
    /// What the notifications are about: they end when it is gone.
    file: std::path::PathBuf,
}

impl Watch {
    /// Of a container; `None` where it has no memory cgroup.
    pub fn new(cgroups: &Cgroups) -> io::Result<Option<Self>> {
        let (file, notifier) = if cgroups.is_v2() {
            let Some(file) = cgroups.path("memory.events") else { return Ok(None) };
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            inotify.add_watch(&file, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DELETE_SELF)?;
            (file, OwnedFd::from(inotify))
        } else {
            let Some(file) = cgroups.path("memory.oom_control") else { return Ok(None) };
            let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            let control = File::open(&file)?;
            let request = format!("{} {}", event.as_fd().as_raw_fd(), control.as_raw_fd());
            fs::write(file.with_file_name("cgroup.event_control"), request)?;
            (file, OwnedFd::from(event))
        };
        // SAFETY: the AsyncFd owns the descriptor, which stays open and the same for as long.
        let notifier = unsafe { AsyncFd::register(notifier) }.map_err(io::Error::from)?;
        Ok(Some(Self { notifier, file }))
    }

    /// Waits until there may be news; `false` when there will be none any more.
    pub async fn news(&self) -> bool {
        let Ok(mut ready) = self.notifier.readable().await else { return false };
        let mut buffer = [0; 4096];
        // What it says is of no interest, nor whether somebody has read it before.
        let _ = nix::unistd::read(self.notifier.get_ref(), &mut buffer);
        ready.clear_ready();
        self.file.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_by_either_version() {
        let directory = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        assert_eq!(count(&cgroups), None);
        fs::write(directory.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
            .unwrap();
        assert_eq!(count(&cgroups), Some(2));
        fs::write(directory.path().join("cgroup.controllers"), "memory").unwrap();
        fs::write(directory.path().join("memory.events"), "low 0\noom 5\noom_kill 3\n").unwrap();
        assert_eq!(count(&cgroups), Some(3));
    }

    #[test]
    fn kills_are_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        let kills = Kills::new(&cgroups);
        assert!(!kills.are_new(&cgroups));
        fs::write(directory.path().join("memory.oom_control"), "oom_kill 2\n").unwrap();
        assert!(kills.are_new(&cgroups));
        assert!(!kills.are_new(&cgroups));
        assert!(!kills.are_likely(&cgroups));
    }

    #[test]
    fn the_parent_s_count_tells_of_a_cgroup_that_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let own = parent.path().join("own");
        let write = |path: &std::path::Path, kills| {
            fs::create_dir_all(path).unwrap();
            fs::write(path.join("cgroup.controllers"), "memory").unwrap();
            fs::write(path.join("memory.events"), format!("oom_kill {kills}\n")).unwrap();
        };
        write(parent.path(), 4);
        write(&own, 0);
        let cgroups = Cgroups::new(vec![own.clone()]);
        let kills = Kills::new(&cgroups);
        write(parent.path(), 5);
        assert!(!kills.are_likely(&cgroups), "its own count says otherwise");
        fs::remove_dir_all(&own).unwrap();
        assert!(kills.are_likely(&cgroups));
        write(parent.path(), 4);
        assert!(!kills.are_likely(&cgroups));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn news_come_when_the_file_changes_and_end_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let events = directory.path().join("memory.events");
        fs::write(directory.path().join("cgroup.controllers"), "memory").unwrap();
        fs::write(&events, "oom_kill 0\n").unwrap();
        let watch = Watch::new(&Cgroups::new(vec![directory.path().into()])).unwrap().unwrap();
        fs::write(&events, "oom_kill 1\n").unwrap();
        assert!(watch.news().await);
        fs::remove_file(&events).unwrap();
        assert!(!watch.news().await);
    }
}
