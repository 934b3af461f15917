//! Noticing that the kernel killed a process of a container for want of memory.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use nix::sys::{
    eventfd::{EfdFlags, EventFd},
    inotify::{AddWatchFlags, InitFlags, Inotify},
};
use tokio::io::unix::AsyncFd;

use super::directories::Cgroups;

/// How many processes of the container the kernel has killed so far.
pub fn kills(cgroups: &Cgroups) -> u64 {
    let file = if cgroups.is_v2() { "memory.events" } else { "memory.oom_control" };
    cgroups.table(file).into_iter().find(|(key, _)| key == "oom_kill").map_or(0, |(_, count)| count)
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
        assert_eq!(kills(&cgroups), 0);
        fs::write(directory.path().join("memory.oom_control"), "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
            .unwrap();
        assert_eq!(kills(&cgroups), 2);
        fs::write(directory.path().join("cgroup.controllers"), "memory").unwrap();
        fs::write(directory.path().join("memory.events"), "low 0\noom 5\noom_kill 3\n").unwrap();
        assert_eq!(kills(&cgroups), 3);
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
