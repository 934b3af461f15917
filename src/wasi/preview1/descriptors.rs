//! `fd_…` that are about the descriptor: what it is, what may be done with it, which number it has.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Advice, AtFlags, FallocateFlags, FileType, OFlags},
    io::{Errno, retry_on_intr},
};

use super::{
    Outcome, Stop,
    layout::{self, Version},
};
use crate::{Descriptor, Rights, Wasi, memory::Guest, table::Refusal};

pub fn fd_close(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32) -> Outcome {
    wasi.table.remove(fd)?;
    Ok(())
}

pub fn fd_renumber(wasi: &mut Wasi, _: &mut Guest<'_>, from: u32, to: u32) -> Outcome {
    Ok(wasi.table.renumber(from, to)?)
}

pub fn fd_fdstat_get(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    let flags = layout::fdflags(rustix::fs::fcntl_getfl(descriptor)?);
    let mut record = [0; 24];
    record[0] = layout::type_of(descriptor.kind(), descriptor.detail);
    record[2..4].copy_from_slice(&flags.to_le_bytes());
    record[8..16].copy_from_slice(&descriptor.base.0.to_le_bytes());
    record[16..].copy_from_slice(&descriptor.inheriting.0.to_le_bytes());
    Ok(guest.write(to, &record)?)
}

/// As fcntl(2) `F_SETFL`: only appending and whether calls wait can be changed, and asking for the others does nothing.
pub fn fd_fdstat_set_flags(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, flags: u32) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    Ok(rustix::fs::fcntl_setfl(descriptor, layout::open_flags(flags)?)?)
}

pub fn fd_fdstat_set_rights(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, base: u64, inheriting: u64) -> Outcome {
    let descriptor = wasi.table.get_mut(fd)?;
    let (base, inheriting) = (Rights(base), Rights(inheriting));
    if !descriptor.base.contain(base) || !descriptor.inheriting.contain(inheriting) {
        return Err(Refusal::NotCapable.into());
    }
    descriptor.limit(base, inheriting);
    Ok(())
}

pub fn fd_prestat_get(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    let name = wasi.table.get(fd)?.preopen.as_ref().ok_or(Errno::BADF)?;
    let mut record = [0; 8];
    record[4..].copy_from_slice(&(name.len() as u32).to_le_bytes());
    Ok(guest.write(to, &record)?)
}

pub fn fd_prestat_dir_name(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, length: u32) -> Outcome {
    let name = wasi.table.get(fd)?.preopen.as_ref().ok_or(Errno::BADF)?;
    if name.len() > length as usize {
        return Err(Errno::NAMETOOLONG.into());
    }
    Ok(guest.write(to, name)?)
}

pub fn fd_filestat_get(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    filestat(wasi, guest, fd, to, Version::Preview1)
}

pub fn fd_filestat_get_unstable(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    filestat(wasi, guest, fd, to, Version::Unstable)
}

fn filestat(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, version: Version) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    let stat = rustix::fs::fstat(descriptor)?;
    Ok(layout::write_filestat(guest, to, &stat, descriptor.detail, version)?)
}

pub fn fd_filestat_set_size(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, size: u64) -> Outcome {
    let descriptor = wasi.table.with(fd, Rights::FD_FILESTAT_SET_SIZE)?;
    if i64::try_from(size).is_err() {
        return Err(Errno::INVAL.into());
    }
    Ok(retry_on_intr(|| rustix::fs::ftruncate(descriptor, size))?)
}

pub fn fd_filestat_set_times(
    wasi: &mut Wasi,
    _: &mut Guest<'_>,
    fd: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Outcome {
    let descriptor = wasi.table.with(fd, Rights::FD_FILESTAT_SET_TIMES)?;
    let times = layout::timestamps(accessed, modified, flags)?;
    match rustix::fs::futimens(descriptor, &times) {
        // One that was opened without a permission to read it.
        Err(Errno::BADF) => Ok(rustix::fs::utimensat(descriptor, c"", &times, AtFlags::EMPTY_PATH)?),
        result => Ok(result?),
    }
}

pub fn fd_advise(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, offset: u64, length: u64, advice: u32) -> Outcome {
    let descriptor = wasi.table.get(fd)?;
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::INVAL.into()),
    };
    Ok(rustix::fs::fadvise(descriptor, offset, std::num::NonZero::new(length), advice)?)
}

pub fn fd_allocate(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, offset: u64, length: u64) -> Outcome {
    let descriptor = wasi.table.with(fd, Rights::FD_ALLOCATE)?;
    Ok(retry_on_intr(|| rustix::fs::fallocate(descriptor, FallocateFlags::empty(), offset, length))?)
}

pub fn fd_sync(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32) -> Outcome {
    synchronize(wasi.table.get(fd)?, |file| rustix::fs::fsync(file))
}

pub fn fd_datasync(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32) -> Outcome {
    synchronize(wasi.table.get(fd)?, |file| rustix::fs::fdatasync(file))
}

fn synchronize(descriptor: &Descriptor, with: impl Fn(BorrowedFd<'_>) -> Result<(), Errno>) -> Outcome {
    match retry_on_intr(|| with(descriptor.as_fd())) {
        // A preopened directory is open for its paths alone.
        Err(Errno::BADF) if descriptor.kind() == FileType::Directory => {
            let directory: OwnedFd = descriptor.place().open(b".", OFlags::RDONLY | OFlags::DIRECTORY)?;
            retry_on_intr(|| with(directory.as_fd())).map_err(Stop::from)
        }
        result => result.map_err(Stop::from),
    }
}
