//! `fd_…` that move bytes.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::{fs::SeekFrom, io::Errno};

use super::{Outcome, layout};
use crate::{
    Rights, Wasi,
    memory::{Guest, Pieces},
    system::{
        file::{self, Position},
        listing::{Entry, Listing},
    },
};

pub fn fd_read(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, list: u32, count: u32, to: u32) -> Outcome {
    transfer(wasi, guest, fd, (list, count), to, |file, pieces| file::read(file, pieces, Position::Here))
}

pub fn fd_pread(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    offset: u64,
    to: u32,
) -> Outcome {
    transfer(wasi, guest, fd, (list, count), to, |file, pieces| file::read(file, pieces, Position::At(offset)))
}

pub fn fd_write(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, list: u32, count: u32, to: u32) -> Outcome {
    transfer(wasi, guest, fd, (list, count), to, |file, pieces| file::write(file, pieces, Position::Here))
}

pub fn fd_pwrite(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    offset: u64,
    to: u32,
) -> Outcome {
    transfer(wasi, guest, fd, (list, count), to, |file, pieces| file::write(file, pieces, Position::At(offset)))
}

/// Reads into or writes from the pieces of a list, by [`file::read`] or [`file::write`].
fn transfer(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: (u32, u32),
    to: u32,
    by: impl FnOnce(BorrowedFd<'_>, &Pieces) -> Result<u32, Errno>,
) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    guest.check(to, 4)?;
    let bytes = by(descriptor.as_fd(), &guest.pieces(list.0, list.1)?)?;
    Ok(guest.write_u32(to, bytes)?)
}

/// What a new position is counted from.
#[derive(Clone, Copy)]
enum Whence {
    Begin,
    Here,
    End,
}

pub fn fd_seek(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, offset: u64, whence: u32, to: u32) -> Outcome {
    seek(wasi, guest, fd, offset, [Whence::Begin, Whence::Here, Whence::End].get(whence as usize), to)
}

/// `wasi_unstable` counts in another order.
pub fn fd_seek_unstable(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, offset: u64, whence: u32, to: u32) -> Outcome {
    seek(wasi, guest, fd, offset, [Whence::Here, Whence::End, Whence::Begin].get(whence as usize), to)
}

fn seek(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, offset: u64, whence: Option<&Whence>, to: u32) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    guest.check(to, 8)?;
    let signed = offset.cast_signed();
    let target = match whence.ok_or(Errno::INVAL)? {
        Whence::Begin if signed < 0 => return Err(Errno::INVAL.into()),
        Whence::Begin => SeekFrom::Start(offset),
        Whence::Here => SeekFrom::Current(signed),
        Whence::End => SeekFrom::End(signed),
    };
    let position = rustix::fs::seek(descriptor, target)?;
    Ok(guest.write_u64(to, position)?)
}

pub fn fd_tell(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    let position = rustix::fs::tell(wasi.table.get(fd)?)?;
    Ok(guest.write_u64(to, position)?)
}

/// Size of a `dirent`, which comes before each name, in bytes.
const DIRENT: usize = 24;

/// Fills the buffer to its end if there are enough entries, as a guest takes a buffer that is not full for the end of the
/// directory: the last entry may be cut, and is asked for again by its cookie.
pub fn fd_readdir(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    buffer: u32,
    length: u32,
    cookie: u64,
    to: u32,
) -> Outcome {
    wasi.table.with(fd, Rights::FD_READDIR)?;
    let descriptor = wasi.table.get_mut(fd)?;
    guest.check(to, 4)?;
    let mut left = guest.slice_mut(buffer, length)?;
    if descriptor.listing.is_none() {
        descriptor.listing = Some(Listing::new(descriptor.as_fd())?);
    }
    let Some(listing) = &mut descriptor.listing else { return Err(Errno::BADF.into()) };
    listing.read(cookie, |entry| {
        [&dirent(entry)[..], entry.name].into_iter().all(|part| {
            let fits = part.len().min(left.len());
            let (here, rest) = std::mem::take(&mut left).split_at_mut(fits);
            here.copy_from_slice(&part[..fits]);
            left = rest;
            fits == part.len()
        })
    })?;
    let used = length - left.len() as u32;
    Ok(guest.write_u32(to, used)?)
}

fn dirent(entry: &Entry<'_>) -> [u8; DIRENT] {
    let mut record = [0; DIRENT];
    record[..8].copy_from_slice(&entry.next.to_le_bytes());
    record[8..16].copy_from_slice(&entry.inode.to_le_bytes());
    record[16..20].copy_from_slice(&(entry.name.len() as u32).to_le_bytes());
    record[20] = layout::type_of_entry(entry.kind);
    record
}
