//! Mounts that are at no place yet (open_tree(2), mount_setattr(2), move_mount(2)).

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::mount::MsFlags;

/// A copy of a mount, or of a tree of mounts, that goes away with it unless it is attached.
pub struct DetachedMount(OwnedFd);

/// `struct mount_attr` (linux/mount.h).
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
/// Flags of mount(2) that a single mount has, and what mount_setattr(2) calls them.
const ATTRIBUTES: [(MsFlags, u64); 4] =
    [(MsFlags::MS_RDONLY, MOUNT_ATTR_RDONLY), (MsFlags::MS_NOSUID, 2), (MsFlags::MS_NODEV, 4), (MsFlags::MS_NOEXEC, 8)];
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const EMPTY: &CStr = c"";

impl DetachedMount {
    /// A copy of what is at `path`, with what is mounted below it or without.
    pub fn copy(path: &Path, recursive: bool) -> io::Result<Self> {
        let path = c_string(path)?;
        let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.unsigned_abs() | if recursive { AT_RECURSIVE } else { 0 };
        // SAFETY: reads the path, returns a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Shows its files as belonging to whom the user namespace maps their owners to.
    pub fn map_ids(&self, namespace: impl AsFd, recursive: bool) -> io::Result<()> {
        let userns_fd = namespace.as_fd().as_raw_fd().unsigned_abs().into();
        self.set(&MountAttr { attr_set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() }, recursive)
    }

    /// Lets nobody write through it.
    pub fn make_read_only(&self) -> io::Result<()> {
        self.set(&MountAttr { attr_set: MOUNT_ATTR_RDONLY, ..MountAttr::default() }, true)
    }

    /// Opens the file that it is a mount of, for reading.
    pub fn open(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    fn set(&self, attributes: &MountAttr, recursive: bool) -> io::Result<()> {
        set(self.0.as_fd(), attributes, recursive)
    }

    /// Gives it those of `flags` that a single mount has, in addition to its own.
    pub fn add_flags(&self, flags: MsFlags) -> io::Result<()> {
        add_flags(self.0.as_fd(), flags)
    }

    /// Mounts it on what is open as `target`, in this process's mount namespace.
    pub fn attach_to(self, target: BorrowedFd<'_>) -> io::Result<()> {
        let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        let (fd, target) = (self.0.as_raw_fd(), target.as_raw_fd());
        // SAFETY: reads the two paths.
        let moved = unsafe { libc::syscall(libc::SYS_move_mount, fd, EMPTY.as_ptr(), target, EMPTY.as_ptr(), flags) };
        match moved {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Mounts it at `target`.
    pub fn attach(self, target: &Path) -> io::Result<()> {
        let target = c_string(target)?;
        let (fd, flags) = (self.0.as_raw_fd(), MOVE_MOUNT_F_EMPTY_PATH);
        // SAFETY: reads the two paths.
        let moved =
            unsafe { libc::syscall(libc::SYS_move_mount, fd, EMPTY.as_ptr(), libc::AT_FDCWD, target.as_ptr(), flags) };
        match moved {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Gives the mount that is open as `mount` those of `flags` that a single mount has, in addition to its own.
pub fn add_flags(mount: BorrowedFd<'_>, flags: MsFlags) -> io::Result<()> {
    let given = ATTRIBUTES.iter().filter(|(flag, _)| flags.contains(*flag));
    let attr_set = given.fold(0, |set, (_, attribute)| set | attribute);
    if attr_set == 0 {
        return Ok(());
    }
    set(mount, &MountAttr { attr_set, ..MountAttr::default() }, false)
}

fn set(mount: BorrowedFd<'_>, attributes: &MountAttr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH.unsigned_abs() | if recursive { AT_RECURSIVE } else { 0 };
    let (fd, size) = (mount.as_raw_fd(), size_of::<MountAttr>());
    // SAFETY: reads `size` bytes of the structure.
    match unsafe { libc::syscall(libc::SYS_mount_setattr, fd, EMPTY.as_ptr(), flags, attributes, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn c_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}
