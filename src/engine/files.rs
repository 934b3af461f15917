//! The one door through which files come in that an image, a volume or a spec names.
//!
//! Opening is an act: it arms a watchdog, rewinds a tape, waits for the other end of a FIFO. So a path is looked up first
//! (`O_PATH`, open(2)), and only what turns out to be a regular file is opened, and read no further than a bound. From
//! outside of a container links are followed as they would be inside (`RESOLVE_IN_ROOT`, openat2(2)).

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::Path,
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

/// Most bytes of a module. The largest that are in use, compilers and databases, have a fifth of that.
pub const MAX_MODULE: u64 = 512 << 20;

/// What is at a path, instead of a regular file; displayed in the words that runc has for what cannot be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NoRegularFile(&'static str);

impl fmt::Display for NoRegularFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "permission denied: it is {}, not a regular file", self.0)
    }
}

impl std::error::Error for NoRegularFile {}

/// A directory that is the root for all that is looked up through it.
#[derive(Debug)]
pub struct Root(OwnedFd);

impl Root {
    /// The directory at `path`, which the node's administrator, containerd or this program names.
    pub fn new(path: &Path) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        File::options().read(true).custom_flags(flags).open(path).map(|directory| Self(directory.into()))
    }

    /// The directory itself.
    pub fn directory(&self) -> &OwnedFd {
        &self.0
    }

    /// Opens the regular file at `path` below this root for reading.
    ///
    /// # Errors
    /// The kernel's; `IsADirectory`; `PermissionDenied` with what it is for what is no regular file, which is not opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        reopen(&self.find(path)?)
    }

    /// What is at `path` below this root, whatever it is, for looking at only.
    pub fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        let path = path.strip_prefix("/").unwrap_or(path);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        Ok(openat2(self.0.as_fd(), path, how)?)
    }
}

/// Opens the regular file at `path` of the node for reading. For paths that a spec names on the node: sources of mounts.
///
/// # Errors
/// As those of [`Root::open`].
pub fn open_on_node(path: &Path) -> io::Result<File> {
    reopen(&look_up(path)?)
}

/// The same in the container that this process is in, with no more rights than the container has there. There is no `/proc`
/// to reopen what was found through, so that it may have been exchanged: it is looked at again, and nothing is waited for.
///
/// # Errors
/// As those of [`Root::open`].
pub fn open_inside(path: &Path) -> io::Result<File> {
    check(&File::from(look_up(path)?))?;
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    check(&file)?;
    Ok(file)
}

/// Reads the whole of `file`, which may have `most` bytes.
///
/// # Errors
/// Says how large it is.
pub fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let too_large =
        |size: u64| io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {size} bytes, the limit is {most}"));
    if size > most {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

fn look_up(path: &Path) -> io::Result<OwnedFd> {
    File::options().read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC).open(path).map(OwnedFd::from)
}

fn reopen(found: &OwnedFd) -> io::Result<File> {
    check(&File::from(found.try_clone()?))?;
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(name)
}

fn check(file: &File) -> io::Result<()> {
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    let what = match () {
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_char_device() => "a character device",
        () if kind.is_block_device() => "a block device",
        () if kind.is_socket() => "a socket",
        () => "something else",
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, NoRegularFile(what)))
}

#[cfg(test)]
mod tests {
    use nix::{sys::stat::SFlag, unistd::mkfifo};

    use super::*;

    fn directory() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), "content").unwrap();
        mkfifo(&directory.path().join("fifo"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/file", directory.path().join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../file", directory.path().join("upwards")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", directory.path().join("out")).unwrap();
        let root = Root::new(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn links_are_followed_as_if_the_root_were_the_root() {
        let (_directory, root) = directory();
        for path in ["/file", "file", "/absolute", "/upwards", "/../file"] {
            assert_eq!(read(&root.open(Path::new(path)).unwrap(), 100).unwrap(), b"content", "{path}");
        }
        assert_eq!(root.open(Path::new("/out")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_not_opened() {
        let (directory, root) = directory();
        let refused = |path: &str| root.open(Path::new(path)).unwrap_err().to_string();
        assert_eq!(refused("/fifo"), "permission denied: it is a FIFO, not a regular file");
        assert_eq!(root.open(Path::new("/")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        let inside = open_inside(&directory.path().join("fifo")).unwrap_err();
        assert_eq!(inside.to_string(), "permission denied: it is a FIFO, not a regular file");
        let null = open_on_node(Path::new("/dev/null")).unwrap_err();
        assert_eq!(null.to_string(), "permission denied: it is a character device, not a regular file");
        let made = nix::sys::stat::mknod(
            &directory.path().join("zero"),
            SFlag::S_IFCHR,
            Mode::S_IRWXU,
            nix::sys::stat::makedev(1, 5),
        );
        if made.is_ok() {
            assert_eq!(refused("/zero"), "permission denied: it is a character device, not a regular file");
        }
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let (_directory, root) = directory();
        let file = root.open(Path::new("/file")).unwrap();
        assert_eq!(read(&file, 6).unwrap_err().to_string(), "it has 7 bytes, the limit is 6");
        assert_eq!(read(&file, 7).unwrap(), b"content");
        // A file that does not tell how much is in it.
        let endless = open_on_node(Path::new("/proc/self/mountinfo")).unwrap();
        assert!(read(&endless, 10).unwrap_err().to_string().ends_with("the limit is 10"));
    }
}
