//! `path_…`.

use std::borrow::Cow;

use rustix::{
    fs::{FileType, OFlags},
    io::Errno,
};

use super::{
    Outcome,
    layout::{self, Version},
};
use crate::{
    Descriptor, Reach, Rights, Wasi,
    descriptor::Detail,
    memory::Guest,
    system::{path::Place, streams},
    table::Refusal,
};

/// `lookupflags`: a link at a path's end is followed.
const FOLLOW: u32 = 1;

/// `oflags`.
const CREATE: u32 = 1;
const DIRECTORY: u32 = 1 << 1;
const EXCLUSIVE: u32 = 1 << 2;
const TRUNCATE: u32 = 1 << 3;

/// As much of what comes before a path as the name of a directory can be long, with a slash on either side.
const BEFORE: u32 = 257;

/// The path at an address, and where it begins.
fn path_at<'a>(
    from: &'a Descriptor,
    guest: &'a Guest<'_>,
    address: u32,
    length: u32,
) -> Result<(Place<'a>, Cow<'a, [u8]>), Errno> {
    // An absolute path would begin anywhere, and it is a directory alone that has walls.
    if from.kind() != FileType::Directory {
        return Err(Errno::NOTDIR);
    }
    let path = guest.slice(address, length)?;
    let before = address.min(BEFORE);
    Ok(from.begin(path, guest.slice(address - before, before)?))
}

fn follows(flags: u32) -> Result<bool, Errno> {
    if flags > FOLLOW { Err(Errno::INVAL) } else { Ok(flags == FOLLOW) }
}

pub fn path_open(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    how: u32,
    base: u64,
    _: u64,
    fdflags: u32,
    to: u32,
) -> Outcome {
    guest.check(to, 4)?;
    let from = wasi.table.with(fd, needed(how)?)?;
    may_truncate(from, how)?;
    let (place, path) = path_at(from, guest, path, length)?;
    let asked = Rights(base);
    if asked.contain(Rights::FD_WRITE) && !from.inheriting.contain(Rights::FD_WRITE) {
        return Err(Refusal::NotCapable.into());
    }
    let flags = open_flags(asked, how, follows(lookup)?) | layout::open_flags(fdflags)?;
    let file = match place.open(&path, flags) {
        Err(Errno::NOENT) => {
            let stream = streams::behind(place, &path).ok_or(Errno::NOENT)?;
            let opened = stream_of(wasi, stream, how)?;
            return Ok(guest.write_u32(to, wasi.table.insert(opened))?);
        }
        file => file?,
    };
    let mut opened = Descriptor::new(file)?;
    // What a guest asks for to be passed on is not held against it: Zig passes on the rights for directories, and then writes
    // files there. It gives rights up by `fd_fdstat_set_rights`.
    opened.limit(asked & from.inheriting, from.inheriting);
    // A directory that was reached from one with walls is as far as its own paths go.
    opened.reach = if from.reach == Reach::Container { Reach::Container } else { Reach::Beneath };
    Ok(guest.write_u32(to, wasi.table.insert(opened))?)
}

fn needed(how: u32) -> Result<Rights, Errno> {
    if how >= 1 << 4 {
        return Err(Errno::INVAL);
    }
    let create = if how & CREATE != 0 { Rights::PATH_CREATE_FILE } else { Rights(0) };
    Ok(Rights::PATH_OPEN | create)
}

/// Who may set the sizes of the files that it opens in a directory may do so while it opens them, too: Go gives the right
/// for the latter up with each directory that it opens, and counts on it (`os.OpenRoot`).
fn may_truncate(from: &Descriptor, how: u32) -> Result<(), Refusal> {
    let may = from.base.contain(Rights::PATH_FILESTAT_SET_SIZE)
        || from.inheriting.contain(Rights::FD_FILESTAT_SET_SIZE | Rights::FD_WRITE);
    if how & TRUNCATE == 0 || may { Ok(()) } else { Err(Refusal::NotCapable) }
}

/// The access mode comes from what is asked for to be read and written. The other rights that go with writing tell
/// nothing: Go asks for `fd_filestat_set_size` with each file that it opens to read (golang/go, `fs_wasip1.go`), and a file
/// that it may not write must not be opened for that.
fn open_flags(asked: Rights, how: u32, follow: bool) -> OFlags {
    let reads = asked.meet(Rights::FD_READ | Rights::FD_READDIR);
    let mut flags = match (reads, asked.contain(Rights::FD_WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        // A directory for the paths that begin there takes no permission to list it.
        (false, false) if how == DIRECTORY => OFlags::PATH,
        (_, false) => OFlags::RDONLY,
    };
    flags.set(OFlags::CREATE, how & CREATE != 0);
    flags.set(OFlags::DIRECTORY, how & DIRECTORY != 0);
    flags.set(OFlags::EXCL, how & EXCLUSIVE != 0);
    flags.set(OFlags::TRUNC, how & TRUNCATE != 0);
    flags.set(OFlags::NOFOLLOW, !follow);
    flags
}

/// `/dev/stdout` is what the guest has as descriptor 1, and so on. That it is opened for writing only is the file's own.
fn stream_of(wasi: &Wasi, fd: u32, how: u32) -> Result<Descriptor, Errno> {
    let stream = wasi.table.get(fd).map_err(|_| Errno::NOENT)?;
    match how {
        how if how & DIRECTORY != 0 && stream.kind() != FileType::Directory => Err(Errno::NOTDIR),
        how if how & CREATE != 0 && how & EXCLUSIVE != 0 => Err(Errno::EXIST),
        _ => stream.duplicate(),
    }
}

pub fn path_filestat_get(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    to: u32,
) -> Outcome {
    filestat(wasi, guest, fd, lookup, (path, length), to, Version::Preview1)
}

pub fn path_filestat_get_unstable(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    to: u32,
) -> Outcome {
    filestat(wasi, guest, fd, lookup, (path, length), to, Version::Unstable)
}

fn filestat(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: (u32, u32),
    to: u32,
    version: Version,
) -> Outcome {
    let from = wasi.table.get(fd)?;
    let (place, path) = path_at(from, guest, path.0, path.1)?;
    let follow = follows(lookup)?;
    let stat = match place.stat(&path, follow) {
        Err(Errno::NOENT) if follow => {
            let stream = streams::behind(place, &path).ok_or(Errno::NOENT)?;
            rustix::fs::fstat(wasi.table.get(stream).map_err(|_| Errno::NOENT)?)
        }
        stat => stat,
    }?;
    Ok(layout::write_filestat(guest, to, &stat, Detail::Nothing, version)?)
}

pub fn path_filestat_set_times(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    accessed: u64,
    modified: u64,
    flags: u32,
) -> Outcome {
    let from = wasi.table.with(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
    let times = layout::timestamps(accessed, modified, flags)?;
    let (place, path) = path_at(from, guest, path, length)?;
    Ok(place.set_times(&path, follows(lookup)?, &times)?)
}

pub fn path_create_directory(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Outcome {
    one(wasi, guest, fd, Rights::PATH_CREATE_DIRECTORY, (path, length), |place, path| place.create_directory(path))
}

pub fn path_remove_directory(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Outcome {
    one(wasi, guest, fd, Rights::PATH_REMOVE_DIRECTORY, (path, length), |place, path| place.remove_directory(path))
}

pub fn path_unlink_file(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, path: u32, length: u32) -> Outcome {
    one(wasi, guest, fd, Rights::PATH_UNLINK_FILE, (path, length), |place, path| place.unlink(path))
}

fn one(
    wasi: &Wasi,
    guest: &Guest<'_>,
    fd: u32,
    rights: Rights,
    path: (u32, u32),
    act: impl FnOnce(Place<'_>, &[u8]) -> Result<(), Errno>,
) -> Outcome {
    let from = wasi.table.with(fd, rights)?;
    let (place, path) = path_at(from, guest, path.0, path.1)?;
    Ok(act(place, &path)?)
}

pub fn path_symlink(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    target: u32,
    target_length: u32,
    fd: u32,
    path: u32,
    length: u32,
) -> Outcome {
    let from = wasi.table.with(fd, Rights::PATH_SYMLINK)?;
    let (place, path) = path_at(from, guest, path, length)?;
    Ok(place.symlink(guest.slice(target, target_length)?, &path)?)
}

/// Cut where the buffer ends, as readlink(2) does.
pub fn path_readlink(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    length: u32,
    buffer: u32,
    room: u32,
    to: u32,
) -> Outcome {
    let from = wasi.table.with(fd, Rights::PATH_READLINK)?;
    guest.check(to, 4)?;
    guest.check(buffer, room)?;
    let (place, path) = path_at(from, guest, path, length)?;
    let link = place.read_link(&path)?;
    let link = &link[..link.len().min(room as usize)];
    guest.write(buffer, link)?;
    Ok(guest.write_u32(to, link.len() as u32)?)
}

pub fn path_rename(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    path: u32,
    length: u32,
    new_fd: u32,
    new: u32,
    new_length: u32,
) -> Outcome {
    let from = wasi.table.with(fd, Rights::PATH_RENAME_SOURCE)?;
    let to = wasi.table.with(new_fd, Rights::PATH_RENAME_TARGET)?;
    let ((from, path), (to, new)) = (path_at(from, guest, path, length)?, path_at(to, guest, new, new_length)?);
    Ok(from.rename(&path, &to, &new)?)
}

pub fn path_link(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    lookup: u32,
    path: u32,
    length: u32,
    new_fd: u32,
    new: u32,
    new_length: u32,
) -> Outcome {
    let from = wasi.table.with(fd, Rights::PATH_LINK_SOURCE)?;
    let to = wasi.table.with(new_fd, Rights::PATH_LINK_TARGET)?;
    let ((from, path), (to, new)) = (path_at(from, guest, path, length)?, path_at(to, guest, new, new_length)?);
    Ok(from.link(&path, follows(lookup)?, &to, &new)?)
}
