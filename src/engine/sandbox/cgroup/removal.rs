//! Removing a container's cgroups, with what still runs in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{directories::children, kill::kill_all};

/// How long processes may take to die of SIGKILL before their cgroup is given up. Only those in uninterruptible sleep
/// take any time at all.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills what still runs in the cgroups and removes them, with those below.
pub fn remove(directories: &[PathBuf]) -> io::Result<()> {
    let deadline = Instant::now() + KILL_TIMEOUT;
    for directory in directories {
        while let Err(error) = remove_tree(directory) {
            if error.raw_os_error() != Some(libc::EBUSY) || Instant::now() > deadline {
                return Err(io::Error::new(
                    error.kind(),
                    format!("cannot remove cgroup {}: {error}", directory.display()),
                ));
            }
            kill_all(directories);
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            for child in children(directory) {
                remove_tree(&child)?;
            }
            fs::remove_dir(directory)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_what_is_gone_is_no_error() {
        remove(&["/sys/fs/cgroup/no-such-cgroup".into()]).unwrap();
    }
}
