//! Freezing and thawing a container's processes (kernel documentation, `admin-guide/cgroup-v1/freezer-subsystem` and
//! `admin-guide/cgroup-v2`, `cgroup.freeze`).

use std::{fs, io, path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use super::directories::Cgroups;

/// How long processes may take to stop. A process in an uninterruptible system call stops after it only.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look.
const INTERVAL: Duration = Duration::from_millis(1);
/// On cgroup v1 a process that forks can keep a cgroup from freezing; thawing for a moment lets it pass (runc does so).
const ATTEMPTS_PER_THAW: u32 = 50;

/// Stops every process of the container.
///
/// # Errors
/// Where there is no freezer, or where a process does not stop; then all go on.
pub async fn freeze(cgroups: &Cgroups) -> io::Result<()> {
    let frozen = match Freezer::of(cgroups)? {
        Freezer::V1(state) => freeze_v1(&state).await,
        Freezer::V2(directory) => freeze_v2(&directory).await,
    };
    if frozen.is_err() {
        thaw(cgroups)?;
    }
    frozen
}

/// Lets every process of the container go on.
pub fn thaw(cgroups: &Cgroups) -> io::Result<()> {
    match Freezer::of(cgroups)? {
        Freezer::V1(state) => write(&state, "THAWED"),
        Freezer::V2(directory) => write(&directory.join("cgroup.freeze"), "0"),
    }
}

enum Freezer {
    V1(std::path::PathBuf),
    V2(std::path::PathBuf),
}

impl Freezer {
    fn of(cgroups: &Cgroups) -> io::Result<Self> {
        if cgroups.is_v2() {
            return cgroups
                .path("cgroup.freeze")
                .and_then(|file| Some(Self::V2(file.parent()?.to_owned())))
                .ok_or_else(missing);
        }
        cgroups.path("freezer.state").map(Self::V1).ok_or_else(missing)
    }
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the container has no freezer cgroup")
}

async fn freeze_v1(state: &Path) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    for attempt in 1.. {
        write(state, "FROZEN")?;
        if fs::read_to_string(state)?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            break;
        }
        if attempt % ATTEMPTS_PER_THAW == 0 {
            write(state, "THAWED")?;
        }
        sleep(INTERVAL).await;
    }
    Err(stuck())
}

async fn freeze_v2(directory: &Path) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    write(&directory.join("cgroup.freeze"), "1")?;
    while Instant::now() < deadline {
        if fs::read_to_string(directory.join("cgroup.events"))?.lines().any(|line| line == "frozen 1") {
            return Ok(());
        }
        sleep(INTERVAL).await;
    }
    Err(stuck())
}

fn stuck() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("a process of the container did not stop within {TIMEOUT:?}"))
}

fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::write(path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write {value} to {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_container_without_a_freezer_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        assert_eq!(freeze(&cgroups).await.unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn each_version_has_its_own_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let cgroups = Cgroups::new(vec![directory.path().into()]);
        fs::write(file("freezer.state"), "THAWED\n").unwrap();
        freeze(&cgroups).await.unwrap();
        assert_eq!(fs::read_to_string(file("freezer.state")).unwrap(), "FROZEN");
        thaw(&cgroups).unwrap();
        assert_eq!(fs::read_to_string(file("freezer.state")).unwrap(), "THAWED");
        fs::write(file("cgroup.controllers"), "").unwrap();
        fs::write(file("cgroup.freeze"), "0\n").unwrap();
        fs::write(file("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        freeze(&cgroups).await.unwrap();
        assert_eq!(fs::read_to_string(file("cgroup.freeze")).unwrap(), "1");
    }
}
