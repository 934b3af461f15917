//! What a guest may do through a descriptor, in WASI's words (preview 1, `rights`).
//!
//! They are kept and told, and those of [`Rights::HELD`] are held to, where a directory is read-only or a guest has given some
//! up. The others are not looked at: whether a file can be read or written is in its open file description, where
//! the kernel looks, and to look at what is open takes no right, as programs made for other runtimes expect.

use std::ops::{BitAnd, BitOr};

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(pub u64);

impl Rights {
    /// `fd_datasync`.
    pub const FD_DATASYNC: Self = Self(1);
    /// `fd_read`, `sock_recv`.
    pub const FD_READ: Self = Self(1 << 1);
    /// `fd_seek`.
    pub const FD_SEEK: Self = Self(1 << 2);
    /// `fd_fdstat_set_flags`.
    pub const FD_FDSTAT_SET_FLAGS: Self = Self(1 << 3);
    /// `fd_sync`.
    pub const FD_SYNC: Self = Self(1 << 4);
    /// `fd_tell`.
    pub const FD_TELL: Self = Self(1 << 5);
    /// `fd_write`, `sock_send`.
    pub const FD_WRITE: Self = Self(1 << 6);
    /// `fd_advise`.
    pub const FD_ADVISE: Self = Self(1 << 7);
    /// `fd_allocate`.
    pub const FD_ALLOCATE: Self = Self(1 << 8);
    /// `path_create_directory`.
    pub const PATH_CREATE_DIRECTORY: Self = Self(1 << 9);
    /// `path_open` of what is not there.
    pub const PATH_CREATE_FILE: Self = Self(1 << 10);
    /// `path_link` from here.
    pub const PATH_LINK_SOURCE: Self = Self(1 << 11);
    /// `path_link` to here.
    pub const PATH_LINK_TARGET: Self = Self(1 << 12);
    /// `path_open`.
    pub const PATH_OPEN: Self = Self(1 << 13);
    /// `fd_readdir`.
    pub const FD_READDIR: Self = Self(1 << 14);
    /// `path_readlink`.
    pub const PATH_READLINK: Self = Self(1 << 15);
    /// `path_rename` from here.
    pub const PATH_RENAME_SOURCE: Self = Self(1 << 16);
    /// `path_rename` to here.
    pub const PATH_RENAME_TARGET: Self = Self(1 << 17);
    /// `path_filestat_get`.
    pub const PATH_FILESTAT_GET: Self = Self(1 << 18);
    /// `path_open` that truncates.
    pub const PATH_FILESTAT_SET_SIZE: Self = Self(1 << 19);
    /// `path_filestat_set_times`.
    pub const PATH_FILESTAT_SET_TIMES: Self = Self(1 << 20);
    /// `fd_filestat_get`.
    pub const FD_FILESTAT_GET: Self = Self(1 << 21);
    /// `fd_filestat_set_size`.
    pub const FD_FILESTAT_SET_SIZE: Self = Self(1 << 22);
    /// `fd_filestat_set_times`.
    pub const FD_FILESTAT_SET_TIMES: Self = Self(1 << 23);
    /// `path_symlink`.
    pub const PATH_SYMLINK: Self = Self(1 << 24);
    /// `path_remove_directory`.
    pub const PATH_REMOVE_DIRECTORY: Self = Self(1 << 25);
    /// `path_unlink_file`.
    pub const PATH_UNLINK_FILE: Self = Self(1 << 26);
    /// `poll_oneoff`.
    pub const POLL_FD_READWRITE: Self = Self(1 << 27);
    /// `sock_shutdown`.
    pub const SOCK_SHUTDOWN: Self = Self(1 << 28);
    /// `sock_accept`.
    pub const SOCK_ACCEPT: Self = Self(1 << 29);

    /// All that there are.
    pub const ALL: Self = Self((1 << 30) - 1);

    /// What changes something in a file system.
    pub const CHANGES: Self = Self(
        Self::FD_WRITE.0
            | Self::FD_ALLOCATE.0
            | Self::FD_FILESTAT_SET_SIZE.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::PATH_CREATE_DIRECTORY.0
            | Self::PATH_CREATE_FILE.0
            | Self::PATH_LINK_SOURCE.0
            | Self::PATH_LINK_TARGET.0
            | Self::PATH_RENAME_SOURCE.0
            | Self::PATH_RENAME_TARGET.0
            | Self::PATH_FILESTAT_SET_SIZE.0
            | Self::PATH_FILESTAT_SET_TIMES.0
            | Self::PATH_SYMLINK.0
            | Self::PATH_REMOVE_DIRECTORY.0
            | Self::PATH_UNLINK_FILE.0,
    );

    /// What no directory has.
    const OF_FILES: Self = Self(
        Self::FD_READ.0
            | Self::FD_WRITE.0
            | Self::FD_SEEK.0
            | Self::FD_TELL.0
            | Self::FD_ADVISE.0
            | Self::FD_ALLOCATE.0
            | Self::FD_FILESTAT_SET_SIZE.0
            | Self::SOCK_SHUTDOWN.0
            | Self::SOCK_ACCEPT.0,
    );

    /// What a directory can have.
    pub const DIRECTORY: Self = Self(Self::ALL.0 & !Self::OF_FILES.0);

    /// What a file, a device or a socket can have.
    pub const FILE: Self = Self(
        Self::OF_FILES.0
            | Self::FD_DATASYNC.0
            | Self::FD_FDSTAT_SET_FLAGS.0
            | Self::FD_SYNC.0
            | Self::FD_FILESTAT_GET.0
            | Self::FD_FILESTAT_SET_TIMES.0
            | Self::POLL_FD_READWRITE.0,
    );

    /// What is held to.
    pub const HELD: Self = Self(
        (Self::CHANGES.0 & !Self::FD_WRITE.0)
            | Self::PATH_OPEN.0
            | Self::PATH_READLINK.0
            | Self::FD_READDIR.0
            | Self::SOCK_SHUTDOWN.0
            | Self::SOCK_ACCEPT.0,
    );

    /// Whether all of `other` are among these.
    pub fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` are among these.
    pub fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These without `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
