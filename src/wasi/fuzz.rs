//! For fuzzing: a row of calls, made by a guest and, in a directory beside it, on Linux directly. Both see the same.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use rustix::{
    fs::{AtFlags, FallocateFlags, Mode, OFlags, RawDir, SeekFrom, Timestamps},
    io::Errno,
    time::Timespec,
};

use crate::{
    Descriptor, Preopen, Reach, Twin, Wasi,
    preview1::{self, FUNCTIONS, Stop},
    system::path,
};

/// Paths that lead to one another. None leads out.
const PATHS: [&str; 16] =
    ["a", "b", "d", "d/a", "d/b", "d/..", "./a", "d/../b", "l", "l/a", "e/", "a/", ".", "", "d//e", "l/../d/a"];

/// Paths that lead out, and are refused where there are walls.
const OUT: [&str; 4] = ["..", "../outside", "d/../../outside", "/outside"];

/// What links say. The last one may lead out, and without walls it does.
const TARGETS: [&str; 5] = ["a", "d", "d/b", "l", "../a"];

/// Most calls of a row, and bytes of a call.
const CALLS: usize = 64;

/// Where in the guest's memory paths, buffers, lists and results lie.
const PATH: u32 = 0;
const OTHER: u32 = 256;
const BUFFER: u32 = 512;
const LIST: u32 = 1024;
const RESULT: u32 = 1040;
const MEMORY: usize = 4096;

/// What a call gave: an error number of WASI, or numbers and bytes.
type Result<T> = std::result::Result<T, u16>;

/// A guest and Linux, each with its directory and what it has opened.
struct Pair {
    wasi: Wasi,
    memory: Vec<u8>,
    directory: OwnedFd,
    open: Vec<(u32, OwnedFd)>,
    walls: Reach,
}

/// Runs the row of calls that the bytes stand for.
///
/// # Panics
/// The guest and Linux saw different things, or something came to be outside of the guest's directory.
pub fn calls(data: &[u8]) {
    let top = top();
    let (&[walls, ref rest @ ..], Some(_)) = (data, data.get(1)) else { return };
    let mut pair = Pair::new(top, if walls & 1 == 0 { Reach::Container } else { Reach::Beneath });
    for call in rest.chunks(6).take(CALLS) {
        let mut bytes = [0; 6];
        bytes[..call.len()].copy_from_slice(call);
        pair.call(bytes);
    }
    assert_eq!(state(&top.join("guest")), state(&top.join("linux")));
    let beside = fs::read_dir(top.join("guest")).into_iter().flatten().count();
    assert!(pair.walls == Reach::Container || beside == 1, "something came to be outside");
    let _ = fs::remove_dir_all(top);
}

/// A directory of this process's own.
fn top() -> &'static Path {
    static TOP: OnceLock<PathBuf> = OnceLock::new();
    TOP.get_or_init(|| {
        let base = ["/dev/shm", "/tmp"].into_iter().find(|base| Path::new(base).is_dir()).unwrap_or(".");
        Path::new(base).join(format!("wasi-fuzz-{}", std::process::id()))
    })
}

/// Everything below a directory: names, types and contents.
fn state(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let meta = fs::symlink_metadata(&path).expect("an entry");
        let content = if meta.is_symlink() {
            format!("{:?}", fs::read_link(&path))
        } else if meta.is_dir() {
            format!("{:?}", state(&path))
        } else {
            // Of a large one with holes the size is enough.
            format!("{} {:?}", meta.len(), (meta.len() < 1 << 20).then(|| fs::read(&path).ok()))
        };
        found.push(format!("{name:?} {content}"));
    }
    found.sort();
    found
}

impl Pair {
    fn new(top: &Path, reach: Reach) -> Self {
        for name in ["guest", "linux"] {
            let inside = top.join(name).join("in");
            let _ = fs::remove_dir_all(top.join(name));
            fs::create_dir_all(inside.join("d")).expect("a directory");
            fs::write(inside.join("a"), "content").expect("a file");
            std::os::unix::fs::symlink("d", inside.join("l")).expect("a link");
        }
        let open = |name: &str| {
            path::directory(top.join(name).join("in").as_os_str().as_encoded_bytes()).expect("a directory")
        };
        let preopen =
            Preopen { name: b"/".to_vec(), directory: open("guest"), reach, read_only: false, twin: Twin::None };
        let root = Descriptor::of_preopen(preopen).expect("a directory");
        let wasi = Wasi::new(Vec::new(), Vec::new(), [root]);
        Self { wasi, memory: vec![0; MEMORY], directory: open("linux"), open: Vec::new(), walls: reach }
    }

    /// Calls a function of WASI.
    fn wasi(&mut self, name: &str, args: &[u64]) -> Result<()> {
        let function = FUNCTIONS.iter().find(|function| function.name == name && function.params.len() == args.len());
        match function.expect("a function").call(&mut self.wasi, &mut self.memory, args) {
            Ok(()) => Ok(()),
            Err(Stop::Errno(errno)) => Err(errno.0),
            Err(Stop::Exit(code)) => panic!("{name} exits with {code}"),
        }
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> [u64; 2] {
        self.memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
        [at.into(), bytes.len() as u64]
    }

    fn number(&self, length: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&self.memory[RESULT as usize..][..length]);
        u64::from_le_bytes(bytes)
    }

    /// One piece of memory, as a list.
    fn list(&mut self, length: u8) -> [u64; 2] {
        let list = [BUFFER.to_le_bytes(), u32::from(length).to_le_bytes()].concat();
        self.put(LIST, &list);
        [LIST.into(), 1]
    }

    fn call(&mut self, [what, first, second, how, length, more]: [u8; 6]) {
        let walled = self.walls != Reach::Container;
        if what & 0x80 != 0 && walled {
            return self.look_out(what & 0x7f, OUT[usize::from(first) % OUT.len()]);
        }
        let (path, other) = (PATHS[usize::from(first) % PATHS.len()], PATHS[usize::from(second) % PATHS.len()]);
        match what % 20 {
            0..=3 => self.open(path, how, more),
            4 => self.close(first),
            5 => self.both_at("path_create_directory", path, |at, path| {
                rustix::fs::mkdirat(at, path, Mode::from_raw_mode(0o777))
            }),
            6 => self
                .both_at("path_remove_directory", path, |at, path| rustix::fs::unlinkat(at, path, AtFlags::REMOVEDIR)),
            7 => self.both_at("path_unlink_file", path, |at, path| rustix::fs::unlinkat(at, path, AtFlags::empty())),
            8 => self.two("path_rename", path, other),
            9 => self.two("path_link", path, other),
            10 => {
                let inside = &TARGETS[..TARGETS.len() - usize::from(walled)];
                self.symlink(inside[usize::from(second) % inside.len()], path);
            }
            11 => self.read_link(path),
            12 => self.stat(path, how & 1 == 1),
            13 => self.set_times(path, how, length.into()),
            14 => self.list_directory(first),
            15 => self.read(first, length, (how & 1 == 1).then_some(more.into())),
            16 => self.write(first, length, (how & 1 == 1).then_some(more.into())),
            17 => self.seek(first, i64::from(more) - 64, how % 4),
            18 => self.set_size(first, u64::from(more) << (how % 40)),
            _ => self.allocate(first, more.into(), length.into()),
        }
    }

    /// What leads out of the walls is refused, whatever is asked for.
    fn look_out(&mut self, what: u8, path: &str) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let result: u64 = RESULT.into();
        let refused = match what % 6 {
            0 => self.wasi("path_open", &[0, 1, at, length, 1, u64::MAX >> 34, 0, 0, result]),
            1 => self.wasi("path_filestat_get", &[0, 1, at, length, result]),
            2 => self.wasi("path_create_directory", &[0, at, length]),
            3 => self.wasi("path_unlink_file", &[0, at, length]),
            4 => self.wasi("path_remove_directory", &[0, at, length]),
            _ => {
                let [new, new_length] = self.put(OTHER, b"a");
                self.wasi("path_rename", &[0, new, new_length, 0, at, length])
            }
        };
        assert!(refused.is_err(), "{path} in call {what}");
    }

    /// The same path to a function of WASI and to Linux.
    fn both_at(
        &mut self,
        name: &str,
        path: &str,
        linux: impl FnOnce(&OwnedFd, &[u8]) -> std::result::Result<(), Errno>,
    ) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let guest = self.wasi(name, &[0, at, length]);
        self.same(name, path, guest, linux(&self.directory, path.as_bytes()));
    }

    /// Both gave the same, or failed alike.
    fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        name: &str,
        path: &str,
        guest: Result<T>,
        linux: std::result::Result<T, Errno>,
    ) {
        let linux = linux.map_err(|errno| preview1::Errno::from(errno).0);
        // With walls a path is looked up in two steps, and which of two errors is told first may differ.
        let walled = self.walls != Reach::Container;
        let lacks_a_right = guest.as_ref().is_err_and(|errno| *errno == 76);
        if (walled && guest.is_err() || lacks_a_right) && linux.is_err() {
            return;
        }
        assert_eq!(guest, linux, "{name} of {path:?}");
    }

    fn open(&mut self, path: &str, how: u8, access: u8) {
        let (read, write) = (access & 1 != 0, access & 2 != 0);
        let rights = (if read { 1 << 1 | 1 << 14 } else { 0 }) | (if write { 1 << 6 } else { 0 });
        // As C libraries ask for a file's other rights.
        let rights = rights | 0x3fff_ffff & !(1 << 1 | 1 << 14 | 1 << 6);
        let how = how & 15;
        let follow = access & 4 != 0;
        let [at, length] = self.put(PATH, path.as_bytes());
        let args = [0, follow.into(), at, length, how.into(), rights, rights, (access >> 3 & 1).into(), RESULT.into()];
        let guest = self.wasi("path_open", &args).map(|()| self.number(4) as u32);
        let mut flags = match (read, write) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (false, false) if how == 2 => OFlags::PATH,
            _ => OFlags::RDONLY,
        };
        for (bit, flag) in [(1, OFlags::CREATE), (2, OFlags::DIRECTORY), (4, OFlags::EXCL), (8, OFlags::TRUNC)] {
            flags.set(flag, how & bit != 0);
        }
        flags.set(OFlags::NOFOLLOW, !follow);
        flags.set(OFlags::APPEND, access >> 3 & 1 == 1);
        let linux = rustix::fs::openat(&self.directory, path.as_bytes(), flags, Mode::from_raw_mode(0o666));
        match (guest, linux) {
            (Ok(guest), Ok(linux)) => self.open.push((guest, linux)),
            (guest, linux) => self.same("path_open", path, guest.map(drop), linux.map(drop)),
        }
    }

    /// One of the files that are open, by its place.
    fn pick(&self, which: u8) -> Option<usize> {
        (!self.open.is_empty()).then(|| usize::from(which) % self.open.len())
    }

    fn close(&mut self, which: u8) {
        let Some(place) = self.pick(which) else { return };
        let (guest, _) = self.open.swap_remove(place);
        assert_eq!(self.wasi("fd_close", &[guest.into()]), Ok(()));
        assert_eq!(self.wasi("fd_close", &[guest.into()]), Err(8));
    }

    fn two(&mut self, name: &str, old: &str, new: &str) {
        let [at, length] = self.put(PATH, old.as_bytes());
        let [new_at, new_length] = self.put(OTHER, new.as_bytes());
        let (args, linux) = if name == "path_link" {
            let args = vec![0, 0, at, length, 0, new_at, new_length];
            (args, rustix::fs::linkat(&self.directory, old, &self.directory, new, AtFlags::empty()))
        } else {
            (
                vec![0, at, length, 0, new_at, new_length],
                rustix::fs::renameat(&self.directory, old, &self.directory, new),
            )
        };
        let guest = self.wasi(name, &args);
        self.same(name, &format!("{old} {new}"), guest, linux);
    }

    fn symlink(&mut self, target: &str, path: &str) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let [target_at, target_length] = self.put(OTHER, target.as_bytes());
        let guest = self.wasi("path_symlink", &[target_at, target_length, 0, at, length]);
        self.same("path_symlink", path, guest, rustix::fs::symlinkat(target, &self.directory, path));
    }

    fn read_link(&mut self, path: &str) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let guest = self.wasi("path_readlink", &[0, at, length, BUFFER.into(), 64, RESULT.into()]);
        let guest = guest.map(|()| self.memory[BUFFER as usize..][..self.number(4) as usize].to_vec());
        let linux = rustix::fs::readlinkat(&self.directory, path, Vec::new()).map(std::ffi::CString::into_bytes);
        self.same("path_readlink", path, guest, linux);
    }

    fn stat(&mut self, path: &str, follow: bool) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let guest = self.wasi("path_filestat_get", &[0, follow.into(), at, length, RESULT.into()]);
        let field = |at: usize| {
            let bytes = self.memory[RESULT as usize + at..].first_chunk().expect("8 bytes");
            u64::from_le_bytes(*bytes)
        };
        // Its type, how many names it has, and how large it is: of directories both are the file system's.
        let guest = guest.map(|()| (self.memory[RESULT as usize + 16], field(24), field(32)));
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let linux = rustix::fs::statat(&self.directory, path, flags).map(|stat| {
            let kind = match stat.st_mode & 0o170_000 {
                0o040_000 => 3,
                0o120_000 => 7,
                _ => 4,
            };
            (kind, stat.st_nlink, stat.st_size.cast_unsigned())
        });
        self.same("path_filestat_get", path, guest, linux);
    }

    fn set_times(&mut self, path: &str, how: u8, time: u64) {
        let [at, length] = self.put(PATH, path.as_bytes());
        let follow = how & 1 == 1;
        let guest = self.wasi("path_filestat_set_times", &[0, follow.into(), at, length, time, time, 1 | 4]);
        let time = Timespec { tv_sec: 0, tv_nsec: time.cast_signed() };
        let times = Timestamps { last_access: time, last_modification: time };
        let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        self.same("path_filestat_set_times", path, guest, rustix::fs::utimensat(&self.directory, path, &times, flags));
    }

    fn list_directory(&mut self, which: u8) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        let guest = self.wasi("fd_readdir", &[fd.into(), BUFFER.into(), 512, 0, RESULT.into()]).map(|()| {
            let (mut at, end) = (BUFFER as usize, BUFFER as usize + self.number(4) as usize);
            let mut names = Vec::new();
            while at + 24 <= end {
                let bytes = self.memory[at + 16..].first_chunk().expect("4 bytes");
                let length = u32::from_le_bytes(*bytes) as usize;
                names.push(self.memory[at + 24..][..length].to_vec());
                at += 24 + length;
            }
            names.sort();
            names
        });
        let linux = rustix::fs::openat(&self.open[place].1, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let linux = linux.and_then(|directory| {
            let mut buffer = Vec::with_capacity(4096);
            let mut entries = RawDir::new(directory.as_fd(), buffer.spare_capacity_mut());
            let mut names = Vec::new();
            while let Some(entry) = entries.next() {
                names.push(entry?.file_name().to_bytes().to_vec());
            }
            names.sort();
            Ok(names)
        });
        // Not asked for to be read, it has no right to be listed, which Linux does not know.
        if guest != Err(76) {
            self.same("fd_readdir", "", guest, linux);
        }
    }

    fn read(&mut self, which: u8, length: u8, offset: Option<u64>) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        let [list, count] = self.list(length);
        let guest = match offset {
            None => self.wasi("fd_read", &[fd.into(), list, count, RESULT.into()]),
            Some(offset) => self.wasi("fd_pread", &[fd.into(), list, count, offset, RESULT.into()]),
        };
        let guest = guest.map(|()| self.memory[BUFFER as usize..][..self.number(4) as usize].to_vec());
        let mut buffer = vec![0; length.into()];
        let file = &self.open[place].1;
        let linux = match offset {
            None => rustix::io::read(file, &mut *buffer),
            Some(offset) => rustix::io::pread(file, &mut *buffer, offset),
        };
        let linux = linux.map(|length| buffer[..length].to_vec());
        self.same("fd_read", "", guest, linux);
    }

    fn write(&mut self, which: u8, length: u8, offset: Option<u64>) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        let bytes = vec![length; length.into()];
        self.put(BUFFER, &bytes);
        let [list, count] = self.list(length);
        let guest = match offset {
            None => self.wasi("fd_write", &[fd.into(), list, count, RESULT.into()]),
            Some(offset) => self.wasi("fd_pwrite", &[fd.into(), list, count, offset, RESULT.into()]),
        };
        let guest = guest.map(|()| self.number(4));
        let file = &self.open[place].1;
        let linux = match offset {
            None => rustix::io::write(file, &bytes),
            Some(offset) => rustix::io::pwrite(file, &bytes, offset),
        };
        self.same("fd_write", "", guest, linux.map(|length| length as u64));
    }

    fn seek(&mut self, which: u8, offset: i64, whence: u8) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        let guest = self.wasi("fd_seek", &[fd.into(), offset.cast_unsigned(), whence.into(), RESULT.into()]);
        let guest = guest.map(|()| self.number(8));
        let from = match whence {
            0 if offset >= 0 => SeekFrom::Start(offset.cast_unsigned()),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return assert!(guest.is_err(), "a seek from {whence}"),
        };
        // Of a directory a position is the file system's.
        if guest.is_err()
            || rustix::fs::fstat(&self.open[place].1).is_ok_and(|stat| stat.st_mode & 0o170_000 != 0o040_000)
        {
            self.same("fd_seek", "", guest, rustix::fs::seek(&self.open[place].1, from));
        }
    }

    fn set_size(&mut self, which: u8, size: u64) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        // Not so large that the disk is full in one of the two only.
        let size = size.min(1 << 32);
        let guest = self.wasi("fd_filestat_set_size", &[fd.into(), size]);
        self.same("fd_filestat_set_size", "", guest, rustix::fs::ftruncate(&self.open[place].1, size));
    }

    fn allocate(&mut self, which: u8, offset: u64, length: u64) {
        let Some(place) = self.pick(which) else { return };
        let fd = self.open[place].0;
        let guest = self.wasi("fd_allocate", &[fd.into(), offset, length]);
        let linux = rustix::fs::fallocate(&self.open[place].1, FallocateFlags::empty(), offset, length);
        self.same("fd_allocate", "", guest, linux);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one test, as there is one directory.
    #[test]
    fn kept_and_random_rows_of_calls_are_the_same_on_linux() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wasi");
        for entry in fs::read_dir(corpus).expect("the inputs that are kept").flatten() {
            calls(&fs::read(entry.path()).unwrap());
        }
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut byte = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        for _ in 0..3000 {
            let row: Vec<u8> = (0..1 + 6 * 40).map(|_| byte()).collect();
            calls(&row);
        }
    }
}
