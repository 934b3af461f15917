//! Paths: from which directory, how far they may lead, and what is done at their end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, Timestamps},
    io::{Errno, retry_on_intr},
};

/// How far paths lead from a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// As far as the container: links, `..` and absolute paths are what they are for a Linux program.
    Container,
    /// No further than the directory: what leads out of it is refused (`RESOLVE_BENEATH`, openat2(2)).
    Beneath,
    /// The directory is the root: `..` of it is itself, and absolute links begin there (`RESOLVE_IN_ROOT`).
    Root,
}

/// A directory that paths begin at.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The directory.
    pub directory: BorrowedFd<'a>,
    /// How far paths lead from it.
    pub reach: Reach,
}

/// Longest path with its final zero, in bytes (path_resolution(7)).
const PATH_MAX: usize = 4096;

/// How often a path is resolved anew because something was renamed or mounted meanwhile: what openat2(2) asks its
/// callers to do, and not for ever, as others can rename for ever.
const ATTEMPTS: usize = 1000;

/// New files are as open(2) and umask(2) have them: WASI has no modes.
const FILE_MODE: u32 = 0o666;
const DIRECTORY_MODE: u32 = 0o777;

impl<'a> Place<'a> {
    /// Opens a path, not to be inherited and never as the controlling terminal.
    ///
    /// # Errors
    /// Of openat(2); `EPERM` where it leads too far.
    pub fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = sound(path)?;
        // With O_PATH openat(2) takes no notice of others, and openat2(2) refuses them.
        let looks = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let flags = if flags.contains(OFlags::PATH) { flags & looks } else { flags | OFlags::NOCTTY } | OFlags::CLOEXEC;
        let mode = if flags.contains(OFlags::CREATE) { Mode::from_raw_mode(FILE_MODE) } else { Mode::empty() };
        let resolve = match self.reach {
            Reach::Container => return retry_on_intr(|| rustix::fs::openat(self.directory, path, flags, mode)),
            Reach::Beneath => ResolveFlags::BENEATH,
            Reach::Root => ResolveFlags::IN_ROOT,
        };
        let open = || rustix::fs::openat2(self.directory, path, flags, mode, resolve | ResolveFlags::NO_MAGICLINKS);
        let mut last = Errno::AGAIN;
        for _ in 0..ATTEMPTS {
            match open() {
                Err(Errno::AGAIN | Errno::INTR) => last = Errno::AGAIN,
                Err(Errno::XDEV) => return Err(Errno::PERM),
                result => return result,
            }
        }
        Err(last)
    }

    /// What is at the end of a path; of a link there, with `follow`, what it leads to.
    ///
    /// # Errors
    /// Of fstatat(2) and [`Self::open`].
    pub fn stat(&self, path: &[u8], follow: bool) -> Result<Stat, Errno> {
        match self.reach {
            Reach::Container => rustix::fs::statat(self.directory, sound(path)?, at(follow)),
            _ => rustix::fs::fstat(self.look(path, follow)?),
        }
    }

    /// Sets the times of what is at the end of a path.
    ///
    /// # Errors
    /// Of utimensat(2) and [`Self::open`].
    pub fn set_times(&self, path: &[u8], follow: bool, times: &Timestamps) -> Result<(), Errno> {
        match self.reach {
            Reach::Container => rustix::fs::utimensat(self.directory, sound(path)?, times, at(follow)),
            _ => rustix::fs::utimensat(self.look(path, follow)?, c"", times, AtFlags::EMPTY_PATH),
        }
    }

    /// What a link says.
    ///
    /// # Errors
    /// Of readlinkat(2) and [`Self::open`].
    pub fn read_link(&self, path: &[u8]) -> Result<Vec<u8>, Errno> {
        let buffer = Vec::with_capacity(256);
        let link = match self.reach {
            Reach::Container => rustix::fs::readlinkat(self.directory, sound(path)?, buffer),
            _ => match rustix::fs::readlinkat(self.look(path, false)?, c"", buffer) {
                // What readlink(2) says of a path that is no link; of a descriptor that is none it says this.
                Err(Errno::NOENT) => Err(Errno::INVAL),
                link => link,
            },
        }?;
        Ok(link.into_bytes())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// Of mkdirat(2) and [`Self::open`].
    pub fn create_directory(&self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(DIRECTORY_MODE))
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Of unlinkat(2) and [`Self::open`].
    pub fn remove_directory(&self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)
    }

    /// Removes the name of what is no directory.
    ///
    /// # Errors
    /// Of unlinkat(2) and [`Self::open`].
    pub fn unlink(&self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::unlinkat(&parent, name, AtFlags::empty())
    }

    /// Makes a link that says `target`.
    ///
    /// # Errors
    /// Of symlinkat(2) and [`Self::open`].
    pub fn symlink(&self, target: &[u8], path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        rustix::fs::symlinkat(sound(target)?, &parent, name)
    }

    /// Gives what is at the end of a path another one.
    ///
    /// # Errors
    /// Of renameat(2) and [`Self::open`].
    pub fn rename(&self, path: &[u8], to: &Place<'_>, new: &[u8]) -> Result<(), Errno> {
        let (from, name) = self.parent(path)?;
        let (to, new) = to.parent(new)?;
        rustix::fs::renameat(&from, name, &to, new)
    }

    /// Gives what is at the end of a path one more.
    ///
    /// # Errors
    /// Of linkat(2) and [`Self::open`]; `EINVAL` where a link would have to be followed from a directory with walls, which
    /// takes a `/proc`.
    pub fn link(&self, path: &[u8], follow: bool, to: &Place<'_>, new: &[u8]) -> Result<(), Errno> {
        if follow && self.reach != Reach::Container {
            return Err(Errno::INVAL);
        }
        // linkat(2) follows a link that has a slash after it, whatever its flags say.
        if self.reach != Reach::Container && path.ends_with(b"/") {
            return Err(Errno::NOTDIR);
        }
        let flags = if follow { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
        let (from, name) = self.parent(path)?;
        let (to, new) = to.parent(new)?;
        rustix::fs::linkat(&from, name, &to, new, flags)
    }

    /// Opens what is at the end of a path just to look at it.
    fn look(&self, path: &[u8], follow: bool) -> Result<OwnedFd, Errno> {
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        self.open(path, flags)
    }

    /// The directory that holds the last name of a path, and that name: the kernel resolves no path for the calls that
    /// change directories but by openat2(2), which opens. None of them follows a link that is the last name, with or
    /// without a slash after it, but linkat(2), see [`Self::link`].
    fn parent<'p>(&self, path: &'p [u8]) -> Result<(Parent<'a>, &'p [u8]), Errno> {
        let path = sound(path)?;
        if self.reach == Reach::Container {
            return Ok((Parent::Here(self.directory), path));
        }
        let (parent, name) = split(path);
        if parent.is_empty() {
            return Ok((Parent::Here(self.directory), name));
        }
        Ok((Parent::Opened(self.open(parent, OFlags::PATH | OFlags::DIRECTORY)?), name))
    }
}

/// The directory of a path's last name.
enum Parent<'a> {
    Here(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Here(directory) => *directory,
            Self::Opened(directory) => directory.as_fd(),
        }
    }
}

/// Opens a directory of this process's own root, such as one that a guest is to find open, whoever may read it.
///
/// # Errors
/// Of open(2).
pub fn directory(path: &[u8]) -> Result<OwnedFd, Errno> {
    Place { directory: CWD, reach: Reach::Container }.open(path, OFlags::PATH | OFlags::DIRECTORY)
}

/// A path that can be said to the kernel. One that is too long is not copied first.
fn sound(path: &[u8]) -> Result<&[u8], Errno> {
    if path.len() >= PATH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    if path.contains(&0) { Err(Errno::INVAL) } else { Ok(path) }
}

fn at(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}

/// What comes before the last name, and that with the slashes after it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let named = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    if named == 0 {
        // Nothing but slashes, or nothing at all, which no call takes.
        return (path, if path.is_empty() { path } else { b"." });
    }
    let begin = path[..named].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    path.split_at(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_name_keeps_the_slashes_after_it() {
        for (path, parent, name) in [
            ("a", "", "a"),
            ("a/", "", "a/"),
            ("a/b", "a/", "b"),
            ("a//b//", "a//", "b//"),
            ("/a", "/", "a"),
            ("..", "", ".."),
            ("a/..", "a/", ".."),
            ("/", "/", "."),
            ("//", "//", "."),
            ("", "", ""),
        ] {
            assert_eq!(split(path.as_bytes()), (parent.as_bytes(), name.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_or_holds_a_zero_is_refused() {
        assert_eq!(sound(&[b'a'; 4096]), Err(Errno::NAMETOOLONG));
        assert_eq!(sound(b"a\0b"), Err(Errno::INVAL));
        assert!(sound(&[b'a'; 4095]).is_ok());
    }
}
