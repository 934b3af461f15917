//! What of a container's mounts a module must not see.

use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::ffi::OsStringExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::{
        stat::Mode,
        statfs::{FsType, PROC_SUPER_MAGIC, fstatfs},
    },
};

/// Filesystems that show a guest the node or itself. `/proc/self/mem` would let a module write to the engine around
/// it; none of them is of use to WASI.
pub const HIDDEN_FROM_MODULES: [&str; 5] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue"];

/// The same in statfs(2)'s terms (linux/magic.h; of mqueue, ipc/mqueue.c).
const MAGIC: [FsType; 5] =
    [PROC_SUPER_MAGIC, FsType(0x6265_6572), FsType(0x0027_e0eb), FsType(0x6367_7270), FsType(0x1980_0202)];

/// Takes it out of this process's sight, in a mount namespace of its own. `proc` is the node's `/proc`.
///
/// # Errors
/// Names what cannot be hidden.
pub fn hide_from_module(proc: BorrowedFd<'_>) -> Result<(), String> {
    let failed = |what: &str, errno: Errno| format!("cannot hide {what} from a module: {}", errno.desc());
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| failed("mounts", errno))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|errno| failed("mounts", errno))?;
    let mountinfo = openat(proc, "self/mountinfo", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(|errno| failed("mounts", errno))?;
    let mut text = Vec::new();
    File::from(mountinfo).read_to_end(&mut text).map_err(|error| error.to_string())?;
    // What is mounted later lies above what was there before.
    for path in hidden_mounts(&text).into_iter().rev() {
        let unmounted = umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
        unmounted.map_err(|errno| failed(&path.display().to_string(), errno))?;
    }
    Ok(())
}

/// Whether an open file, or what is only open for a look, is in such a filesystem.
pub fn is_hidden(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|found| MAGIC.contains(&found.filesystem_type()))
}

/// Where in the container that this process is in a module must see nothing, by a mountinfo file
/// (proc_pid_mountinfo(5)), in the order of mounting.
fn hidden_mounts(mountinfo: &[u8]) -> Vec<PathBuf> {
    let below = |path: &Path| ["/proc", "/sys"].iter().any(|top| path.starts_with(top));
    mounts(mountinfo).filter(|(path, hidden)| *hidden || below(path)).map(|(path, _)| path).collect()
}

/// The mount points of such filesystems at and below `top`.
pub fn hidden_below(mountinfo: &[u8], top: &Path) -> Vec<PathBuf> {
    mounts(mountinfo).filter(|(path, hidden)| *hidden && path.starts_with(top)).map(|(path, _)| path).collect()
}

/// Mount points, and whether what is mounted there is hidden from modules.
fn mounts(mountinfo: &[u8]) -> impl Iterator<Item = (PathBuf, bool)> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = unescape(fields.nth(4)?);
        // After optional fields, which end with a dash.
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((path, HIDDEN_FROM_MODULES.iter().any(|hidden| hidden.as_bytes() == kind)))
    })
}

/// Blanks, line feeds and backslashes are three octal digits behind a backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let (mut text, mut left) = (Vec::with_capacity(field.len()), field);
    while let Some((first, rest)) = left.split_first() {
        let digits =
            rest.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        let Some(digits) = digits else {
            text.push(*first);
            left = rest;
            continue;
        };
        let value = digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0'));
        text.push(value as u8);
        left = &rest[3..];
    }
    OsString::from_vec(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
600 500 0:50 / / rw - overlay overlay rw
601 600 0:51 / /proc rw - proc proc rw
602 600 0:52 / /dev rw - tmpfs tmpfs rw
603 602 0:53 / /dev/mqueue rw - mqueue mqueue rw
604 601 0:52 /null /proc/kcore rw - tmpfs tmpfs rw
605 600 8:1 /x /etc/hosts rw - ext4 /dev/vda rw
606 600 0:54 / /mnt/p rw master:1 propagate_from:2 - proc proc rw
607 600 0:54 / /mnt/with\\040blank\\134 rw shared:3 - sysfs sysfs rw
608 600 0:54 / /mnt/\xff rw - proc - rw";

    #[test]
    fn mounts_that_show_the_node_are_hidden_from_modules() {
        let names: Vec<_> = hidden_mounts(MOUNTINFO);
        let last = PathBuf::from(OsString::from_vec(b"/mnt/\xff".to_vec()));
        let paths = ["/proc", "/dev/mqueue", "/proc/kcore", "/mnt/p", "/mnt/with blank\\"].map(PathBuf::from);
        assert_eq!(names[..5], paths);
        assert_eq!(names[5..], *std::slice::from_ref(&last));
        assert_eq!(hidden_below(MOUNTINFO, Path::new("/mnt")), [paths[3].clone(), paths[4].clone(), last]);
    }

    #[test]
    fn a_filesystem_is_known_by_what_is_open_in_it() {
        assert!(is_hidden(std::fs::File::open("/proc/self/status").unwrap()));
        assert!(!is_hidden(std::fs::File::open(std::env::current_exe().unwrap()).unwrap()));
    }
}
