//! The entries of a directory, from any of them on.
//!
//! A cookie stands for the kernel's own (`d_off` of getdents64(2), which lseek(2) takes), so that it stays good while the
//! directory changes, and whoever has several listings open does not disturb one with another.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, SeekFrom},
    io::{Errno, retry_on_intr},
};

use super::{cookies::Cookies, file};

/// Room for some hundred entries, in bytes.
const BUFFER: usize = 32 << 10;

/// Where the fields of `struct linux_dirent64` are (getdents64(2)).
const OFFSET: usize = 8;
const LENGTH: usize = 16;
const KIND: usize = 18;
const NAME: usize = 19;

/// A directory that is being listed.
#[derive(Debug)]
pub struct Listing {
    /// Its own open file: the guest's may be one that cannot be read from, and has a position of its own.
    file: OwnedFd,
    buffer: Vec<u8>,
    /// The offset of the first entry in the buffer.
    first: u64,
    /// The offset of what comes after the last one, where the kernel goes on.
    after: u64,
    /// The offset of the entry that was wanted no more, and where it is in the buffer: there a guest with little room goes on.
    stopped: (u64, usize),
    cookies: Cookies,
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The cookie of the entry after it.
    pub next: u64,
    /// Its inode.
    pub inode: u64,
    /// Its type, a `DT_…` of readdir(3).
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
}

impl Listing {
    /// Of a directory.
    ///
    /// # Errors
    /// Of openat(2): it is none, or it may not be read.
    pub fn new(directory: BorrowedFd<'_>) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::openat(directory, c".", flags, Mode::empty()))?;
        Ok(Self { file, buffer: Vec::new(), first: 0, after: 0, stopped: (0, 0), cookies: Cookies::default() })
    }

    /// Tells the entries from `cookie` on, 0 for the beginning, until `take` wants no more of them.
    ///
    /// # Errors
    /// Of getdents64(2) and lseek(2): `EINVAL` for what is no cookie.
    pub fn read(&mut self, cookie: u64, mut take: impl FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
        let mut offset = self.cookies.offset(cookie)?;
        let mut at = match self.find(offset) {
            Some(at) => at,
            None => {
                self.seek(offset)?;
                self.fill()?;
                0
            }
        };
        loop {
            while let Some((entry, length)) = entry(&self.buffer[at..]) {
                let next = self.cookies.of(entry.next)?;
                if !take(&Entry { next, ..entry }) {
                    self.stopped = (offset, at);
                    return Ok(());
                }
                (at, offset) = (at + length, entry.next);
            }
            if self.fill()? == 0 {
                // A directory that stays open needs no memory.
                self.buffer = Vec::new();
                return Ok(());
            }
            at = 0;
        }
    }

    /// Where in the buffer the entry with this offset is, or would come. The beginning is always read anew.
    fn find(&self, offset: u64) -> Option<usize> {
        if offset == 0 || self.buffer.is_empty() {
            return None;
        }
        if offset == self.stopped.0 {
            return Some(self.stopped.1);
        }
        let (mut at, mut own) = (0, self.first);
        while own != offset {
            let (entry, length) = entry(&self.buffer[at..])?;
            (at, own) = (at + length, entry.next);
        }
        Some(at)
    }

    fn seek(&mut self, offset: u64) -> Result<(), Errno> {
        self.buffer.clear();
        rustix::fs::seek(&self.file, SeekFrom::Start(offset))?;
        self.after = offset;
        Ok(())
    }

    /// Reads the next entries; how many bytes they take.
    fn fill(&mut self) -> Result<usize, Errno> {
        (self.first, self.stopped) = (self.after, (0, 0));
        self.buffer.try_reserve_exact(BUFFER.saturating_sub(self.buffer.len())).map_err(|_| Errno::NOMEM)?;
        self.buffer.resize(BUFFER, 0);
        let (fd, buffer) = (self.file.as_fd().as_raw_fd(), self.buffer.as_mut_ptr());
        // SAFETY: writes at most as many bytes as there is room for.
        let read = file::result(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer, BUFFER) } as isize);
        self.buffer.truncate(*read.as_ref().unwrap_or(&0) as usize);
        let mut at = 0;
        while let Some((entry, length)) = entry(&self.buffer[at..]) {
            (at, self.after) = (at + length, entry.next);
        }
        read.map(|length| length as usize)
    }
}

/// The first entry of what getdents64(2) has written, and how long it is.
fn entry(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    let u64_at = |at: usize| bytes.get(at..at + 8).and_then(<[u8]>::first_chunk).copied().map(u64::from_ne_bytes);
    let length = usize::from(u16::from_ne_bytes(*bytes.get(LENGTH..)?.first_chunk()?));
    let name = bytes.get(NAME..length)?;
    let name = &name[..name.iter().position(|byte| *byte == 0).unwrap_or(name.len())];
    Some((Entry { next: u64_at(OFFSET)?, inode: u64_at(0)?, kind: bytes[KIND], name }, length))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn all(listing: &mut Listing, step: usize) -> Vec<Vec<u8>> {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let before = names.len();
            listing
                .read(cookie, |entry| {
                    if names.len() == before + step {
                        return false;
                    }
                    names.push(entry.name.to_vec());
                    cookie = entry.next;
                    // ext4's offsets have more bits than a module's `telldir`.
                    assert!(i32::try_from(cookie).is_ok(), "{cookie}");
                    true
                })
                .unwrap();
            if names.len() == before {
                return names;
            }
        }
    }

    #[test]
    fn each_entry_comes_once_however_few_are_taken_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = vec![b".".to_vec(), b"..".to_vec()];
        for number in 0..3000 {
            let name = format!("{number:04}-{}", "x".repeat(number % 60));
            fs::write(directory.path().join(&name), "").unwrap();
            expected.push(name.into_bytes());
        }
        let file = fs::File::open(directory.path()).unwrap();
        let mut listing = Listing::new(file.as_fd()).unwrap();
        for step in [1, 7, 1000, usize::MAX] {
            let mut names = all(&mut listing, step);
            names.sort();
            assert_eq!(names, expected, "{step} at a time");
        }
    }

    #[test]
    fn entries_that_stay_come_once_while_others_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        (0..2000).for_each(|number| fs::write(path(&format!("stays-{number}")), "").unwrap());
        (0..2000).for_each(|number| fs::write(path(&format!("goes-{number}")), "").unwrap());
        let file = fs::File::open(directory.path()).unwrap();
        let mut listing = Listing::new(file.as_fd()).unwrap();
        let (mut seen, mut cookie, mut round) = (Vec::new(), 0, 0);
        loop {
            let before = cookie;
            let mut count = 0;
            listing
                .read(cookie, |entry| {
                    if count == 10 {
                        return false;
                    }
                    count += 1;
                    cookie = entry.next;
                    seen.push(String::from_utf8(entry.name.to_vec()).unwrap());
                    true
                })
                .unwrap();
            if cookie == before {
                break;
            }
            for number in round * 8..(round * 8 + 8).min(2000) {
                let _ = fs::remove_file(path(&format!("goes-{number}")));
                fs::write(path(&format!("comes-{number}")), "").unwrap();
            }
            round += 1;
        }
        let mut stays: Vec<_> = seen.iter().filter(|name| name.starts_with("stays-")).collect();
        stays.sort();
        stays.dedup();
        assert_eq!(stays.len(), 2000);
        assert_eq!(seen.iter().filter(|name| name.starts_with("stays-")).count(), 2000);
    }

    #[test]
    fn the_beginning_is_read_anew() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs::File::open(directory.path()).unwrap();
        let mut listing = Listing::new(file.as_fd()).unwrap();
        assert_eq!(all(&mut listing, 10).len(), 2);
        fs::write(directory.path().join("new"), "").unwrap();
        assert_eq!(all(&mut listing, 10).len(), 3);
    }

    #[test]
    fn what_is_no_cookie_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs::File::open(directory.path()).unwrap();
        let mut listing = Listing::new(file.as_fd()).unwrap();
        assert_eq!(listing.read(u64::MAX, |_| true), Err(Errno::INVAL));
    }
}
