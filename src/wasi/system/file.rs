//! What is open: read, written, looked at.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::{
    fs::FileType,
    io::{Errno, retry_on_intr},
};

use crate::memory::Pieces;

/// What an open file is.
///
/// # Errors
/// Of fstat(2).
pub fn kind(file: BorrowedFd<'_>) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode))
}

/// Where in a file something is read or written.
#[derive(Debug, Clone, Copy)]
pub enum Position {
    /// Where the file is, which moves.
    Here,
    /// There, and the file stays where it is.
    At(u64),
}

/// Reads into pieces of memory; the number of bytes. One piece is read by read(2), which every seccomp profile has.
///
/// # Errors
/// Of readv(2) and preadv(2).
pub fn read(file: BorrowedFd<'_>, pieces: &Pieces, position: Position) -> Result<u32, Errno> {
    let (fd, list, count) = (file.as_raw_fd(), pieces.as_ptr(), pieces.len() as libc::c_int);
    let offset = offset(position)?;
    retry_on_intr(|| {
        // SAFETY: the pieces are the guest's memory, which lives through the call and which nothing else looks at.
        result(unsafe {
            match (offset, pieces.as_slice()) {
                (None, [one]) => libc::read(fd, one.iov_base, one.iov_len),
                (Some(offset), [one]) => libc::pread(fd, one.iov_base, one.iov_len, offset),
                (None, _) => libc::readv(fd, list, count),
                (Some(offset), _) => libc::preadv(fd, list, count, offset),
            }
        })
    })
}

/// Writes pieces of memory; the number of bytes.
///
/// # Errors
/// Of writev(2) and pwritev(2).
pub fn write(file: BorrowedFd<'_>, pieces: &Pieces, position: Position) -> Result<u32, Errno> {
    let (fd, list, count) = (file.as_raw_fd(), pieces.as_ptr(), pieces.len() as libc::c_int);
    let offset = offset(position)?;
    retry_on_intr(|| {
        // SAFETY: as above, and it is only read.
        result(unsafe {
            match (offset, pieces.as_slice()) {
                (None, [one]) => libc::write(fd, one.iov_base, one.iov_len),
                (Some(offset), [one]) => libc::pwrite(fd, one.iov_base, one.iov_len, offset),
                (None, _) => libc::writev(fd, list, count),
                (Some(offset), _) => libc::pwritev(fd, list, count, offset),
            }
        })
    })
}

fn offset(position: Position) -> Result<Option<i64>, Errno> {
    match position {
        Position::Here => Ok(None),
        Position::At(offset) => i64::try_from(offset).map(Some).map_err(|_| Errno::INVAL),
    }
}

/// What a call of the C library has returned. The kernel moves at most 2 GiB at once (read(2)), so a number of bytes is
/// never too large.
pub(crate) fn result(returned: isize) -> Result<u32, Errno> {
    u32::try_from(returned).map_err(|_| last_error())
}

/// The error of the last call of the C library.
pub(crate) fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
