//! What a guest has open.

use std::{
    borrow::Cow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::{fs::FileType, io::Errno};

use crate::{
    Rights,
    system::{
        file,
        listing::Listing,
        path::{Place, Reach},
        socket,
    },
};

/// A directory that a guest finds open when it begins.
#[derive(Debug)]
pub struct Preopen {
    /// Its name for the guest.
    pub name: Vec<u8>,
    /// The directory. `O_PATH` is enough, which takes no permission to read it.
    pub directory: OwnedFd,
    /// How far paths lead from it.
    pub reach: Reach,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
    /// What a C library may have taken it for.
    pub twin: Twin,
}

/// A directory whose paths come to another one.
///
/// wasi-libc has one table of directories for absolute and for relative paths and compares names without the slashes at
/// their beginning (`preopens.c`). So `/f` and `f` come to the same directory, and `/etc/f` and `etc/f`. What it hands on is
/// a pointer into the path that it was given, so what was before it may still be seen there. A program that has linked
/// `chdir` makes absolute paths of all that it is given, and nothing tells them apart.
#[derive(Debug, Default)]
pub enum Twin {
    /// There is none.
    #[default]
    None,
    /// This is the working directory, and absolute paths come here whose first name is none of the root's directories: what
    /// is not here and is in the root is meant there.
    Root(OwnedFd),
    /// This is one of the root's directories, and relative paths come here that begin with its name: they begin in the
    /// working directory, which this is.
    WorkingDirectory(Rc<OwnedFd>),
}

/// What one of the guest's descriptors stands for.
#[derive(Debug)]
pub struct Descriptor {
    file: OwnedFd,
    kind: FileType,
    /// A socket that carries messages, a terminal: what [`FileType`] does not tell.
    pub(crate) detail: Detail,
    /// What may be done through it.
    pub(crate) base: Rights,
    /// What may be done through what is opened by it.
    pub(crate) inheriting: Rights,
    pub(crate) reach: Reach,
    /// Its name, if it was open when the guest began.
    pub(crate) preopen: Option<Vec<u8>>,
    pub(crate) listing: Option<Listing>,
    twin: Twin,
}

/// What a descriptor is beyond its file type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    Terminal,
    Datagrams,
}

/// What comes before a path that is not one of the directory that it was taken for.
enum Before {
    /// The directory's name without a slash before it: `etc/f`, not `/etc/f`.
    Relative,
    /// The name without a slash after it: Go takes `/database` for `base` in `/data` (`fs_wasip1.go`, `preparePath`).
    Longer,
}

impl Descriptor {
    /// Of an open file, with the rights that one of its kind can have, and no walls.
    ///
    /// # Errors
    /// Of fstat(2).
    pub fn new(file: OwnedFd) -> Result<Self, Errno> {
        let kind = file::kind(file.as_fd())?;
        let detail = match kind {
            FileType::CharacterDevice if rustix::termios::isatty(&file) => Detail::Terminal,
            FileType::Socket if socket::carries_messages(file.as_fd()) => Detail::Datagrams,
            _ => Detail::Nothing,
        };
        let (base, inheriting) = match (kind, detail) {
            (FileType::Directory, _) => (Rights::DIRECTORY, Rights::ALL),
            // wasi-libc takes a character device for a terminal by the lack of these two.
            (_, Detail::Terminal) => (Rights::FILE.without(Rights::FD_SEEK | Rights::FD_TELL), Rights(0)),
            _ => (Rights::FILE, Rights(0)),
        };
        let reach = Reach::Container;
        Ok(Self { file, kind, detail, base, inheriting, reach, preopen: None, listing: None, twin: Twin::None })
    }

    /// Of a directory that the guest finds open.
    ///
    /// # Errors
    /// It is none.
    pub fn of_preopen(preopen: Preopen) -> Result<Self, Errno> {
        let mut descriptor = Self::new(preopen.directory)?;
        if descriptor.kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        if preopen.read_only {
            descriptor.limit(Rights::ALL.without(Rights::CHANGES), Rights::ALL.without(Rights::CHANGES));
        }
        Ok(Self { reach: preopen.reach, preopen: Some(preopen.name), twin: preopen.twin, ..descriptor })
    }

    /// The same, through which nothing is changed, not its times either.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.limit(Rights::ALL.without(Rights::CHANGES), Rights(0));
        self
    }

    /// Takes all rights but these.
    pub(crate) fn limit(&mut self, base: Rights, inheriting: Rights) {
        self.base = self.base & base;
        self.inheriting = self.inheriting & inheriting;
    }

    /// Its file type.
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// Where paths that are relative to it begin.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { directory: self.file.as_fd(), reach: self.reach }
    }

    /// Where a path begins, with the path from there. `before` is what lies in memory before it.
    pub(crate) fn begin<'p>(&self, path: &'p [u8], before: &[u8]) -> (Place<'_>, Cow<'p, [u8]>) {
        let here = self.place();
        let at = |directory| Place { directory, reach: Reach::Container };
        let absolute = before.last() == Some(&b'/');
        match &self.twin {
            Twin::Root(root) if absolute => {
                let there = at(root.as_fd());
                let has = |place: Place<'_>| place.stat(path, false).is_ok();
                (if !has(here) && has(there) { there } else { here }, path.into())
            }
            Twin::WorkingDirectory(directory) => match self.name_before(before) {
                Some((name, Before::Relative)) => (at(directory.as_fd()), [name, b"/", path].concat().into()),
                Some((name, Before::Longer)) => (at(directory.as_fd()), [b"/", name, path].concat().into()),
                None => (here, path.into()),
            },
            _ => (here, path.into()),
        }
    }

    /// The name of this directory, if it comes before a path that is none of its own.
    fn name_before(&self, before: &[u8]) -> Option<(&[u8], Before)> {
        let name = self.preopen.as_deref()?.strip_prefix(b"/")?;
        let slashes = before.iter().rev().take_while(|byte| **byte == b'/').count();
        let begin = before[..before.len() - slashes].strip_suffix(name)?;
        match (begin.last() == Some(&b'/'), slashes) {
            (true, 0) => Some((name, Before::Longer)),
            (false, 1..) => Some((name, Before::Relative)),
            _ => None,
        }
    }

    /// A second one for the same open file, with the same rights, which is no preopen.
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        let file = rustix::io::fcntl_dupfd_cloexec(&self.file, 0)?;
        let Self { kind, detail, base, inheriting, reach, .. } = *self;
        Ok(Self { file, kind, detail, base, inheriting, reach, preopen: None, listing: None, twin: Twin::None })
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
