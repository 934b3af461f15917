//! The cgroups of a pod: the one that holds its containers', which whoever asks for the pod makes, and in it one for the pod's
//! first process, where there is such a process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

/// How often, and how long apart, the removal of a cgroup is tried: its last process is gone a moment after it was reaped.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// The directories of the cgroup that CRI names: a path, or a slice of systemd (systemd.slice(5)). None where it names none.
pub fn parent(name: &str) -> Vec<PathBuf> {
    let path = if name.starts_with('/') { PathBuf::from(name) } else { slice(name) };
    let below = path.strip_prefix("/").unwrap_or(&path);
    if below.as_os_str().is_empty() || below.components().any(|part| part.as_os_str() == "..") {
        return Vec::new();
    }
    mounts().iter().map(|mount| mount.join(below)).collect()
}

/// Moves the process `pid` into a cgroup `id` below `parent`, which systemd does not keep; the directories that were made.
///
/// # Errors
/// Those of the files. What was made is given back by then.
pub fn hold(parent: &str, id: &str, pid: u32) -> io::Result<Vec<PathBuf>> {
    if !parent.starts_with('/') {
        // systemd makes what is in its slices. The process stays where the shim is.
        return Ok(Vec::new());
    }
    let mut made = Vec::new();
    for directory in self::parent(parent).into_iter().map(|parent| parent.join(id)) {
        let held = fs::create_dir_all(&directory).and_then(|()| {
            made.push(directory.clone());
            // Of cgroup v1, and without processors and memory nodes until they are set: it counts and limits nothing here.
            match directory.join("cpuset.cpus").exists() && !directory.join("cgroup.controllers").exists() {
                true => Ok(()),
                false => fs::write(directory.join("cgroup.procs"), pid.to_string()),
            }
        });
        if let Err(error) = held {
            remove(&made);
            return Err(io::Error::other(format!("{}: {error}", directory.display())));
        }
    }
    Ok(made)
}

/// Removes cgroups without processes.
pub fn remove(directories: &[PathBuf]) {
    for directory in directories {
        for _ in 0..ATTEMPTS {
            match fs::remove_dir(directory) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => sleep(PAUSE),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    log::warn!("cannot remove {}: {error}", directory.display());
                    break;
                }
                _ => break,
            }
        }
    }
}

/// `a-b.slice` is in `a.slice`.
fn slice(name: &str) -> PathBuf {
    let Some(stem) = name.strip_suffix(".slice") else { return PathBuf::from(name) };
    let dashes = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
    dashes.map(|end| format!("{}.slice", &stem[..end])).collect()
}

/// Where the hierarchies are mounted: those of version 1, or else that of version 2 (proc_pid_mountinfo(5)).
fn mounts() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let of = |version: &str| -> Vec<PathBuf> {
        let place = |line: &str| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let place = Path::new(mount.split(' ').nth(4)?);
            let is_it = filesystem.split(' ').next() == Some(version) && place.starts_with("/sys/fs/cgroup");
            is_it.then(|| place.to_owned())
        };
        text.lines().filter_map(place).collect()
    };
    let first = of("cgroup");
    if first.is_empty() { of("cgroup2") } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_in_the_slices_that_its_name_says() {
        let expected = "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice";
        assert_eq!(slice("kubepods-besteffort-pod1.slice"), PathBuf::from(expected));
        assert_eq!(slice("a.slice"), PathBuf::from("a.slice"));
    }

    #[test]
    fn no_cgroup_is_beyond_the_hierarchies() {
        for name in ["", "/", "/../x", "/a/../../x", "../x"] {
            assert_eq!(parent(name), Vec::<PathBuf>::new(), "{name}");
        }
        assert!(parent("/pods/one").iter().all(|path| path.ends_with("pods/one")));
    }
}
