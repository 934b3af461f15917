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
        Ok(Self { file, kind, detail, base, inheriting, reach: Reach::Container, preopen: None, listing: None })
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
        Ok(Self { reach: preopen.reach, preopen: Some(preopen.name), ..descriptor })
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

    /// A second one for the same open file, with the same rights, which is no preopen.
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        let file = rustix::io::fcntl_dupfd_cloexec(&self.file, 0)?;
        Ok(Self { file, preopen: None, listing: None, ..*self })
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
