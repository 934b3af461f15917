//! What a module must not see in a container that was made for Linux programs.

use std::{fs::File, os::fd::BorrowedFd};

use nix::{
    errno::Errno,
    fcntl::{OFlag, openat},
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::stat::Mode,
};

/// Filesystems that show a guest the node or itself. `/proc/self/mem` would let a module write to the engine around
/// it; none of them is of use to WASI.
pub const HIDDEN_FROM_MODULES: [&str; 5] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue"];

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
    let mountinfo = std::io::read_to_string(File::from(mountinfo)).map_err(|error| error.to_string())?;
    // What is mounted later lies above what was there before.
    for path in hidden_mounts(&mountinfo).into_iter().rev() {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).map_err(|errno| failed(path, errno))?;
    }
    Ok(())
}

/// Mount points in a mountinfo file (proc_pid_mountinfo(5)) that a module must not see.
fn hidden_mounts(mountinfo: &str) -> Vec<&str> {
    let hidden = |line: &str| -> Option<bool> {
        let (left, right) = line.split_once(" - ")?;
        let path = left.split(' ').nth(4)?;
        let below = ["/proc", "/sys"].iter().any(|top| std::path::Path::new(path).starts_with(top));
        Some(below || HIDDEN_FROM_MODULES.contains(&right.split(' ').next()?))
    };
    let lines = mountinfo.lines().filter(|line| hidden(line) == Some(true));
    lines.filter_map(|line| line.split(' ').nth(4)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_that_show_the_node_are_hidden_from_modules() {
        let mountinfo = "\
600 500 0:50 / / rw - overlay overlay rw
601 600 0:51 / /proc rw - proc proc rw
602 600 0:52 / /dev rw - tmpfs tmpfs rw
603 602 0:53 / /dev/mqueue rw - mqueue mqueue rw
604 601 0:52 /null /proc/kcore rw - tmpfs tmpfs rw
605 600 8:1 /x /etc/hosts rw - ext4 /dev/vda rw
606 600 0:54 / /mnt/p rw - proc proc rw";
        assert_eq!(hidden_mounts(mountinfo), ["/proc", "/dev/mqueue", "/proc/kcore", "/mnt/p"]);
    }
}
