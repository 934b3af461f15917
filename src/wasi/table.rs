//! The guest's descriptors, by the numbers it knows them by.

use rustix::{fs::FileType, io::Errno};

use crate::{Descriptor, Rights};

/// The open descriptors of a guest. How many there can be is the kernel's to say (`RLIMIT_NOFILE`): each has one of the
/// process's behind it.
#[derive(Debug, Default)]
pub struct Table(Vec<Option<Descriptor>>);

/// A right is missing, or the kernel has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// WASI's `notcapable`, which no kernel knows.
    NotCapable,
    /// The kernel's.
    Errno(Errno),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Table {
    /// Gives a descriptor the lowest number that is free, as POSIX does.
    pub fn insert(&mut self, descriptor: Descriptor) -> u32 {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free == self.0.len() {
            self.0.push(None);
        }
        self.0[free] = Some(descriptor);
        // The kernel has far fewer.
        free as u32
    }

    /// The one with this number.
    ///
    /// # Errors
    /// `EBADF` where there is none.
    pub fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.0.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    /// The same, to be changed.
    ///
    /// # Errors
    /// `EBADF` where there is none.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    /// The one with this number, if these rights, as far as they are [held to](Rights::HELD), are among its own.
    ///
    /// # Errors
    /// `EBADF` where there is none, `ENOTDIR` where only a directory can have the right, and the lack of it.
    pub fn with(&self, fd: u32, rights: Rights) -> Result<&Descriptor, Refusal> {
        let descriptor = self.get(fd)?;
        if rights.meet(Rights::DIRECTORY.without(Rights::FILE)) && descriptor.kind() != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        if descriptor.base.contain(rights & Rights::HELD) { Ok(descriptor) } else { Err(Refusal::NotCapable) }
    }

    /// Takes the one with this number out.
    ///
    /// # Errors
    /// `EBADF` where there is none.
    pub fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        self.0.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)
    }

    /// Gives `from` the number of `to`, which is closed.
    ///
    /// # Errors
    /// `EBADF` where one of the two is not open.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from != to {
            self.0[to as usize] = self.0[from as usize].take();
        }
        Ok(())
    }
}
