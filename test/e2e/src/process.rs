//! Processes of the node, as /proc shows them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{sys::signal::Signal, unistd::Pid};

/// The flag of a thread of the kernel (include/linux/sched.h).
const PF_KTHREAD: u32 = 0x0020_0000;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// One letter, `Z` for a zombie.
    pub state: char,
    /// Its short name.
    pub name: String,
    /// Its command line, joined by spaces.
    pub command: String,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// Whether it is a thread of the kernel, which only a node that is a whole machine shows.
    pub kernel: bool,
}

impl Process {
    /// The process with this id, if there is one.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the fields after it are the third and following.
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            state: fields.first()?.chars().next()?,
            name: head.split_once('(')?.1.to_owned(),
            command,
            start: fields.get(19)?.parse().ok()?,
            kernel: fields.get(6)?.parse::<u32>().ok()? & PF_KTHREAD != 0,
        })
    }

    /// Every process of the node but the kernel's threads.
    pub fn all() -> Vec<Self> {
        numbered("/proc").into_iter().filter_map(Self::of).filter(|process| !process.kernel).collect()
    }

    /// Those with this short name, zombies left out.
    pub fn named(name: &str) -> Vec<Self> {
        Self::all().into_iter().filter(|process| process.name == name && process.state != 'Z').collect()
    }

    /// Whether this very process is still there and no zombie.
    pub fn lives(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now.start == self.start && now.state != 'Z')
    }

    /// Sends SIGKILL; one that has ended meanwhile is no failure.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends a signal; one that has ended meanwhile is no failure.
    pub fn signal(&self, signal: Signal) {
        if self.lives() {
            let _ = nix::sys::signal::kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Stops it until the result is dropped.
    pub fn stop(&self) -> Stopped<'_> {
        self.signal(Signal::SIGSTOP);
        Stopped(self)
    }

    /// `/proc/PID/FILE`.
    pub fn file(&self, file: &str) -> PathBuf {
        format!("/proc/{}/{file}", self.pid).into()
    }

    /// A field of `/proc/PID/status`, without the blanks around it.
    #[track_caller]
    pub fn status(&self, field: &str) -> String {
        let status = crate::command::read(self.file("status"));
        let found = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_else(|| panic!("no {field} in the status of process {}:\n{status}", self.pid)).trim().to_owned()
    }

    /// Its open descriptors, with what they point to.
    pub fn descriptors(&self) -> Vec<(i32, String)> {
        let directory = self.file("fd");
        let target = |fd: i32| fs::read_link(directory.join(fd.to_string())).ok();
        let found = numbered(&directory).into_iter();
        found.filter_map(|fd| Some((fd, target(fd)?.display().to_string()))).collect()
    }

    /// The processor time that it has used, in clock ticks.
    #[track_caller]
    pub fn processor_time(&self) -> u64 {
        let stat = crate::command::read(self.file("stat"));
        let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, tail)| tail.split(' ').collect()).unwrap_or_default();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number of ticks")).sum()
    }

    /// A file of its cgroup, such as `memory.max`, or of a hierarchy of cgroup v1, such as `memory.limit_in_bytes`;
    /// `None` where there is none.
    pub fn cgroup_file(&self, file: &str) -> Option<String> {
        let groups = fs::read_to_string(self.file("cgroup")).ok()?;
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let hierarchy = controllers.strip_prefix("name=").unwrap_or(controllers);
            let file = format!("/sys/fs/cgroup/{hierarchy}{path}/{file}");
            fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
        })
    }

    /// Which of its namespaces, such as `net:[4026531840]`.
    pub fn namespace(&self, kind: &str) -> io::Result<String> {
        fs::read_link(self.file(&format!("ns/{kind}"))).map(|target| target.display().to_string())
    }
}

/// A process that does nothing.
pub struct Stopped<'a>(&'a Process);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::SIGCONT);
    }
}

/// The entries of a directory whose names are numbers.
fn numbered(directory: impl AsRef<Path>) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let me = Process::of(std::process::id().cast_signed()).unwrap();
        assert!(me.lives() && me.command.contains(&me.name));
        assert_eq!(me.status("Pid"), me.pid.to_string());
        assert!(me.descriptors().iter().any(|(fd, _)| *fd == 1));
    }
}
