//! Ending all processes of a container at once, however fast they fork.

use std::{fs, io, time::Duration};

use log::warn;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    directories::Cgroups,
    freezer::{freeze, thaw},
};

/// How long to wait for the last process to stop. One in an uninterruptible system call forks no more either.
const FREEZE: Duration = Duration::from_millis(100);

/// How long to wait for all to be gone, and how often to look.
const ENDS: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(2);

/// Ends every process of the container, and waits until all are gone. On cgroup v2 the kernel kills (`cgroup.kill`, Linux
/// 5.14). On v1 what a first pass has left is frozen, as by runc, so that none escapes by a fork; a frozen process dies when
/// it is thawed.
///
/// # Errors
/// Where one is not gone after two seconds.
pub async fn kill_all(cgroups: &Cgroups) -> io::Result<()> {
    let begin = Instant::now();
    let mut pass = 0;
    while !cgroups.processes().is_empty() {
        if begin.elapsed() > ENDS {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("a process did not end within {ENDS:?}")));
        }
        if !kernel_kills(cgroups) {
            if pass > 0 {
                // Where it takes too long, or there is no freezer, this pass is worth as much as the first.
                let _ = timeout(FREEZE, freeze(cgroups)).await;
            }
            signal_all(cgroups, Signal::SIGKILL);
            let _ = thaw(cgroups);
        }
        pass += 1;
        sleep(INTERVAL).await;
    }
    Ok(())
}

fn kernel_kills(cgroups: &Cgroups) -> bool {
    cgroups.is_v2() && cgroups.path("cgroup.kill").is_some_and(|file| fs::write(file, "1").is_ok())
}

/// Sends a signal to every process in the container's cgroups, one after the other.
pub fn signal_all(cgroups: &Cgroups, signal: Signal) {
    for pid in cgroups.processes() {
        match kill(Pid::from_raw(pid.cast_signed()), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => warn!("cannot send {signal} to process {pid} of a container: {errno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    /// Regression test for C11: one pass by process ids missed what forked meanwhile.
    #[tokio::test(flavor = "current_thread")]
    async fn the_kernel_kills_on_cgroup_v2_and_all_are_frozen_on_v1() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        // Files that say so for ever.
        fs::write(file("cgroup.procs"), format!("{}\n", child.id())).unwrap();
        for name in ["cgroup.controllers", "cgroup.kill"] {
            fs::write(file(name), "").unwrap();
        }
        assert_eq!(kill_all(&cgroups).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(fs::read_to_string(file("cgroup.kill")).unwrap(), "1");
        assert!(child.try_wait().unwrap().is_none(), "by nobody else");
        for name in ["cgroup.controllers", "cgroup.kill"] {
            fs::remove_file(file(name)).unwrap();
        }
        fs::write(file("freezer.state"), "?").unwrap();
        kill_all(&cgroups).await.unwrap_err();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert_eq!(fs::read_to_string(file("freezer.state")).unwrap(), "THAWED");
        fs::write(file("cgroup.procs"), "").unwrap();
        kill_all(&cgroups).await.unwrap();
    }
}
