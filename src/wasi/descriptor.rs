//! What a guest has open.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
    /// The root, if this is the working directory: wasi-libc takes both for one, see [`Descriptor::begin`].
    pub root: Option<OwnedFd>,
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
    root: Option<OwnedFd>,
}

/// What a descriptor is beyond its file type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Nothing,
    Terminal,
    Datagrams,
}

impl Descriptor {
    /// Of an open file, with all rights that one of its kind can have.
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
            (_, Detail::Terminal) => (Rights::ALL.without(Rights::FD_SEEK | Rights::FD_TELL), Rights(0)),
            _ => (Rights::ALL, Rights(0)),
        };
        let reach = Reach::Container;
        Ok(Self { file, kind, detail, base, inheriting, reach, preopen: None, listing: None, root: None })
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
        Ok(Self { reach: preopen.reach, preopen: Some(preopen.name), root: preopen.root, ..descriptor })
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

    /// Where a path begins, and whether it was `absolute` before the guest's C library looked for the directory that it is
    /// in.
    ///
    /// wasi-libc has one table of directories for absolute and for relative paths, and in it `/` and `.` have the same
    /// name, none (`preopens.c`, `strip_prefixes`): what is directly in the root and what is in the working directory come
    /// here alike. So an absolute path goes to the root, unless what it names, or would have it in it, is in the working
    /// directory alone: a program that has changed its directory (`chdir`) makes absolute paths of relative ones.
    pub(crate) fn begin(&self, path: &[u8], absolute: bool) -> Place<'_> {
        let here = self.place();
        let Some(root) = self.root.as_ref().filter(|_| absolute) else { return here };
        let there = Place { directory: root.as_fd(), reach: Reach::Container };
        let has = |place: Place<'_>, path: &[u8]| place.stat(path, false).is_ok();
        let parent = &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
        let is_there = has(there, path) || !has(here, path) && (parent.is_empty() || has(there, parent));
        if is_there { there } else { here }
    }

    /// A second one for the same open file, with the same rights, which is no preopen.
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        let file = rustix::io::fcntl_dupfd_cloexec(&self.file, 0)?;
        let Self { kind, detail, base, inheriting, reach, .. } = *self;
        Ok(Self { file, kind, detail, base, inheriting, reach, preopen: None, listing: None, root: None })
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
