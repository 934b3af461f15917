//! What runs in the system that is worked on.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::root::Root;

/// Where processes are looked at.
const PROC: &str = "/proc";

/// A running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its command line.
    pub words: Vec<String>,
    /// Its program, as the system sees it.
    pub program: PathBuf,
}

/// The processes whose root directory is that of `root`. Those of containers have others.
pub fn all(root: &Root) -> Vec<Process> {
    let identity = root.identity().ok();
    let entries = fs::read_dir(PROC).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let here = |pid: &i32| match fs::metadata(file(*pid, "root")) {
        Ok(meta) => Some((meta.dev(), meta.ino())) == identity,
        // Who is not root may not look; nothing is known against it.
        Err(_) => root.is_running(),
    };
    let mut found: Vec<Process> = pids.filter(here).filter_map(Process::of).collect();
    found.sort_by_key(|process| process.pid);
    found
}

impl Process {
    fn of(pid: i32) -> Option<Self> {
        let line = fs::read(file(pid, "cmdline")).ok().filter(|line| !line.is_empty())?;
        let line = line.strip_suffix(&[0]).unwrap_or(&line);
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        let program = fs::read_link(file(pid, "exe")).unwrap_or_default();
        let name = program.as_os_str().as_bytes();
        let program = PathBuf::from(OsStr::from_bytes(name.strip_suffix(b" (deleted)").unwrap_or(name)));
        Some(Self { pid, words, program })
    }

    /// The program's name, as it was started.
    pub fn name(&self) -> &str {
        self.words.first().and_then(|word| Path::new(word).file_name()?.to_str()).unwrap_or_default()
    }

    /// The value of an option that has one of these names, written `--name value`, `--name=value` or with one dash.
    pub fn option(&self, names: &[&str]) -> Option<&str> {
        let mut words = self.words.iter().skip(1);
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let bare = name.strip_prefix("--").or_else(|| name.strip_prefix('-'));
            if bare.is_some_and(|bare| names.contains(&bare)) {
                return value.or_else(|| words.next().map(String::as_str));
            }
        }
        None
    }

    /// Its `PATH`; `None` if it has none or may not be looked at.
    pub fn search_path(&self) -> Option<String> {
        let variables = fs::read(file(self.pid, "environ")).ok()?;
        let mut variables = variables.split(|byte| *byte == 0);
        variables.find_map(|variable| variable.strip_prefix(b"PATH=")).map(|path| String::from_utf8_lossy(path).into())
    }

    /// The systemd unit that it belongs to.
    pub fn unit(&self) -> Option<String> {
        unit(&fs::read_to_string(file(self.pid, "cgroup")).ok()?)
    }

    /// When it was started, to a tick of 10 ms.
    pub fn started(&self) -> Option<SystemTime> {
        let stat = fs::read_to_string(file(self.pid, "stat")).ok()?;
        let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        // SAFETY: asks for a number.
        let per_second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|rate| *rate > 0)?;
        // The kernel counts from the boot, whose time is told in whole seconds only (`btime` in proc_stat(5)).
        let up = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
        let age = Duration::from(up).checked_sub(Duration::from_millis(ticks * 1000 / per_second))?;
        SystemTime::now().checked_sub(age)
    }

    /// Its hard limit on open files.
    pub fn most_files(&self) -> Option<u64> {
        let limits = fs::read_to_string(file(self.pid, "limits")).ok()?;
        let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
        let hard = line.split_whitespace().nth(4)?;
        if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
    }
}

fn file(pid: i32, name: &str) -> PathBuf {
    Path::new(PROC).join(pid.to_string()).join(name)
}

/// The unit in /proc/PID/cgroup: the innermost name of a service.
fn unit(cgroups: &str) -> Option<String> {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.filter_map(|path| path.rsplit('/').find(|name| name.ends_with(".service")));
    units.next().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(words: &[&str]) -> Process {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Process { pid: 1, words, program: PathBuf::new() }
    }

    #[test]
    fn options_are_found_however_they_are_written() {
        for words in [["containerd", "--config", "/a"], ["containerd", "-c", "/a"], ["containerd", "-config=/a", "x"]] {
            assert_eq!(process(&words).option(&["config", "c"]), Some("/a"), "{words:?}");
        }
        assert_eq!(process(&["containerd", "--log-level", "info"]).option(&["config", "c"]), None);
    }

    #[test]
    fn the_unit_of_a_process_is_read_from_its_cgroup() {
        assert_eq!(unit("0::/system.slice/containerd.service\n").as_deref(), Some("containerd.service"));
        let hybrid = "12:pids:/system.slice/k3s.service/containerd\n1:name=systemd:/system.slice/k3s.service\n";
        assert_eq!(unit(hybrid).as_deref(), Some("k3s.service"));
        assert_eq!(unit("0::/user.slice/session-1.scope\n"), None);
    }

    #[test]
    fn this_process_is_found_with_what_is_known_of_it() {
        let root = Root::new(Path::new("/")).unwrap();
        let pid = std::process::id().cast_signed();
        let own = all(&root).into_iter().find(|process| process.pid == pid).unwrap();
        assert_eq!(own.program, std::env::current_exe().unwrap());
        assert!(own.most_files().unwrap() > 0);
        let age = SystemTime::now().duration_since(own.started().unwrap()).unwrap();
        assert!(age < Duration::from_secs(3600), "{age:?}");
    }
}
