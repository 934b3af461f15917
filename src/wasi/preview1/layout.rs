//! How WASI's records lie in memory (witx, "size" and "offset" of each).

use rustix::{
    fs::{FileType, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    io::Errno,
};

use crate::{descriptor::Detail, memory::Guest, system::clock::timespec};

/// `filetype`.
pub mod filetype {
    pub const UNKNOWN: u8 = 0;
    pub const BLOCK_DEVICE: u8 = 1;
    pub const CHARACTER_DEVICE: u8 = 2;
    pub const DIRECTORY: u8 = 3;
    pub const REGULAR_FILE: u8 = 4;
    pub const SOCKET_DGRAM: u8 = 5;
    pub const SOCKET_STREAM: u8 = 6;
    pub const SYMBOLIC_LINK: u8 = 7;
}

/// The `filetype` of something that is open.
pub fn type_of(kind: FileType, detail: Detail) -> u8 {
    match kind {
        FileType::BlockDevice => filetype::BLOCK_DEVICE,
        FileType::CharacterDevice => filetype::CHARACTER_DEVICE,
        FileType::Directory => filetype::DIRECTORY,
        FileType::RegularFile => filetype::REGULAR_FILE,
        FileType::Socket if detail == Detail::Datagrams => filetype::SOCKET_DGRAM,
        FileType::Socket => filetype::SOCKET_STREAM,
        FileType::Symlink => filetype::SYMBOLIC_LINK,
        _ => filetype::UNKNOWN,
    }
}

/// Of a directory's entry, whose type is a `DT_…` (readdir(3)).
pub fn type_of_entry(kind: u8) -> u8 {
    match kind {
        libc::DT_BLK => filetype::BLOCK_DEVICE,
        libc::DT_CHR => filetype::CHARACTER_DEVICE,
        libc::DT_DIR => filetype::DIRECTORY,
        libc::DT_REG => filetype::REGULAR_FILE,
        libc::DT_SOCK => filetype::SOCKET_STREAM,
        libc::DT_LNK => filetype::SYMBOLIC_LINK,
        _ => filetype::UNKNOWN,
    }
}

/// `fdflags`, and the kernel's. `O_RSYNC` is `O_SYNC` there, which has `O_DSYNC` in it (open(2)).
const FLAGS: [(u16, i32); 5] = [
    (1, libc::O_APPEND),
    (1 << 1, libc::O_DSYNC),
    (1 << 2, libc::O_NONBLOCK),
    (RSYNC, libc::O_RSYNC),
    (1 << 4, libc::O_SYNC),
];

/// Which of them is not told, as the kernel does not tell it from the next.
const RSYNC: u16 = 1 << 3;

/// The kernel's flags for `fdflags`.
pub fn open_flags(flags: u32) -> Result<OFlags, Errno> {
    if flags >= 1 << FLAGS.len() {
        return Err(Errno::INVAL);
    }
    let asked = FLAGS.iter().filter(|(flag, _)| flags & u32::from(*flag) != 0);
    let bits = asked.fold(0, |bits, (_, kernel)| bits | kernel);
    Ok(OFlags::from_bits_retain(bits.cast_unsigned()))
}

/// The `fdflags` for the kernel's.
pub fn fdflags(open: OFlags) -> u16 {
    let bits = open.bits().cast_signed();
    let known = FLAGS.iter().filter(|(flag, kernel)| *flag != RSYNC && bits & kernel == *kernel);
    known.fold(0, |flags, (flag, _)| flags | flag)
}

/// Which version of WASI a record is laid out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `wasi_unstable`.
    Unstable,
    /// `wasi_snapshot_preview1`.
    Preview1,
}

/// Writes a `filestat`.
pub fn write_filestat(
    guest: &mut Guest<'_>,
    to: u32,
    stat: &Stat,
    detail: Detail,
    version: Version,
) -> Result<(), Errno> {
    let kind = type_of(FileType::from_raw_mode(stat.st_mode), detail);
    let mut record = Vec::with_capacity(64);
    record.extend(stat.st_dev.to_le_bytes());
    record.extend(stat.st_ino.to_le_bytes());
    record.extend([kind, 0, 0, 0]);
    // The only thing that was made wider.
    match version {
        Version::Unstable => record.extend(u32::try_from(stat.st_nlink).unwrap_or(u32::MAX).to_le_bytes()),
        Version::Preview1 => {
            record.extend([0; 4]);
            record.extend(stat.st_nlink.to_le_bytes());
        }
    }
    record.extend(stat.st_size.cast_unsigned().to_le_bytes());
    for (seconds, nanoseconds) in
        [(stat.st_atime, stat.st_atime_nsec), (stat.st_mtime, stat.st_mtime_nsec), (stat.st_ctime, stat.st_ctime_nsec)]
    {
        record.extend(timestamp(seconds, nanoseconds).to_le_bytes());
    }
    guest.write(to, &record)
}

/// WASI's times begin in 1970.
fn timestamp(seconds: i64, nanoseconds: u64) -> u64 {
    u64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// The times that `fstflags` ask for.
pub fn timestamps(accessed: u64, modified: u64, flags: u32) -> Result<Timestamps, Errno> {
    if flags >= 1 << 4 {
        return Err(Errno::INVAL);
    }
    let one = |time: u64, given: bool, now: bool| match (given, now) {
        (true, true) => Err(Errno::INVAL),
        (true, false) => Ok(timespec(time)),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    };
    Ok(Timestamps {
        last_access: one(accessed, flags & 1 != 0, flags & 2 != 0)?,
        last_modification: one(modified, flags & 4 != 0, flags & 8 != 0)?,
    })
}
