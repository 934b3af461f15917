//! Ending all processes of a container at once, paused or not, however fast they fork.
//!
//! On cgroup v2 the kernel does it (`cgroup.kill`, Linux 5.14). On v1 they are frozen first, as by runc, so that none escapes
//! by a fork; a frozen process dies when it is thawed (kernel documentation, `admin-guide/cgroup-v1/freezer-subsystem`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::directories::{children, own_directories};

const KILL: &str = "cgroup.kill";
const FREEZE_V2: &str = "cgroup.freeze";
const FREEZER_V1: &str = "freezer.state";

/// How often to look whether all are frozen, every 0.2 ms; one in an uninterruptible system call is not waited for.
const FREEZE_ATTEMPTS: usize = 50;

/// Ends every process in these cgroups and in those below. Never those of this process's own cgroups.
pub fn kill_all(directories: &[PathBuf]) {
    let own = own_directories().unwrap_or_default();
    for directory in directories.iter().filter(|directory| !own.iter().any(|own| own.starts_with(directory))) {
        if write(&directory.join(KILL), "1").is_ok() {
            continue;
        }
        let freezer = directory.join(FREEZER_V1);
        if freezer.exists() {
            freeze(&freezer);
        }
        signal_all(directory);
        thaw_all(directory);
    }
}

/// Lets the processes of a container go on, after a pause. Nothing to be told of: where it fails they stay as they are.
pub fn thaw(directories: &[PathBuf]) {
    for directory in directories {
        write_if_there(&directory.join(FREEZER_V1), "THAWED");
        write_if_there(&directory.join(FREEZE_V2), "0");
    }
}

/// The same for cgroups below, which a container may have frozen itself.
fn thaw_all(directory: &Path) {
    thaw(&[directory.to_owned()]);
    children(directory).iter().for_each(|child| thaw_all(child));
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

fn write_if_there(file: &Path, value: &str) {
    match write(file, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::warn!("cannot write {value} to {}: {error}", file.display());
        }
        _ => {}
    }
}

fn freeze(state: &Path) {
    for _ in 0..FREEZE_ATTEMPTS {
        write_if_there(state, "FROZEN");
        match fs::read_to_string(state) {
            Ok(now) if now.trim() == "FREEZING" => sleep(Duration::from_micros(200)),
            _ => return,
        }
    }
}

/// Sends SIGKILL to every process of the cgroup and of those below.
fn signal_all(directory: &Path) {
    for child in children(directory) {
        signal_all(&child);
    }
    let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0) {
        match kill(Pid::from_raw(pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => log::warn!("cannot kill process {pid} of {}: {errno}", directory.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::process::ExitStatusExt, process::Command};

    /// A cgroup of its own, if this process may make one: of the freezer of cgroup v1, or of v2.
    fn cgroup(name: &str) -> Option<PathBuf> {
        let tops = own_directories().ok()?.into_iter();
        let mut usable = tops.filter(|top| top.join(FREEZER_V1).exists() || top.join("cgroup.procs").exists());
        let directory = usable.find(|top| top.to_string_lossy().contains("freezer"))?.join(name);
        fs::create_dir(&directory).ok()?;
        Some(directory)
    }

    #[test]
    fn frozen_processes_end_and_those_elsewhere_do_not() {
        // Not to be had everywhere; the end-to-end tests have it.
        let Some(directory) = cgroup(&format!("unit-{}", std::process::id())) else { return };
        let mut inside = Command::new("sleep").arg("60").spawn().unwrap();
        let mut outside = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(directory.join("cgroup.procs"), inside.id().to_string()).unwrap();
        freeze(&directory.join(FREEZER_V1));
        kill_all(&[directory.clone(), directory.join("gone")]);
        assert_eq!(inside.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(outside.try_wait().unwrap().is_none());
        outside.kill().unwrap();
        outside.wait().unwrap();
        fs::remove_dir(directory).unwrap();
    }

    #[test]
    fn the_cgroups_of_this_process_are_left_alone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        kill_all(&own_directories().unwrap());
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
