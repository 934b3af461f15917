//! A guest that calls functions by their names, with what lies in its memory.
#![allow(dead_code)]

use std::{
    fs::{self, File},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use wasmedge_shim_wasi::{
    Descriptor, Preopen, Reach, Twin, Wasi,
    preview1::{Errno, FUNCTIONS, Stop, Type},
    system::path,
};

pub const SUCCESS: u16 = 0;
pub const ACCES: u16 = 2;
pub const ADDRINUSE: u16 = 3;
pub const AFNOSUPPORT: u16 = 5;
pub const AGAIN: u16 = 6;
pub const BADF: u16 = 8;
pub const CONNREFUSED: u16 = 14;
pub const DESTADDRREQ: u16 = 17;
pub const EXIST: u16 = 20;
pub const FAULT: u16 = 21;
pub const INPROGRESS: u16 = 26;
pub const INVAL: u16 = 28;
pub const ISCONN: u16 = 30;
pub const ISDIR: u16 = 31;
pub const LOOP: u16 = 32;
pub const MSGSIZE: u16 = 35;
pub const NAMETOOLONG: u16 = 37;
pub const NOENT: u16 = 44;
pub const NOPROTOOPT: u16 = 50;
pub const NOTCONN: u16 = 53;
pub const NOTDIR: u16 = 54;
pub const NOTEMPTY: u16 = 55;
pub const NOTSOCK: u16 = 57;
pub const NXIO: u16 = 60;
pub const NOTSUP: u16 = 58;
pub const PERM: u16 = 63;
pub const PIPE: u16 = 64;
pub const SPIPE: u16 = 70;
pub const NOTCAPABLE: u16 = 76;

pub const ALL: u64 = (1 << 30) - 1;
pub const FD_READ: u64 = 1 << 1;
pub const FD_WRITE: u64 = 1 << 6;
pub const FD_READDIR: u64 = 1 << 14;
pub const FD_FILESTAT_SET_SIZE: u64 = 1 << 22;

pub const CREAT: u32 = 1;
pub const DIRECTORY: u32 = 2;
pub const EXCL: u32 = 4;
pub const TRUNC: u32 = 8;

/// The first directory that is open.
pub const ROOT: u32 = 3;

/// 16 pages of WebAssembly.
const MEMORY: usize = 1 << 20;

pub struct Program {
    pub wasi: Wasi,
    pub memory: Vec<u8>,
    /// Where nothing lies yet.
    next: u32,
    /// What is open as [`ROOT`].
    pub directory: TempDir,
}

impl Program {
    /// With `/dev/null` as its three streams and an empty directory open.
    pub fn new() -> Self {
        Self::with(Reach::Container, false)
    }

    pub fn with(reach: Reach, read_only: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let null =
            || Descriptor::new(File::options().read(true).write(true).open("/dev/null").unwrap().into()).unwrap();
        let open = path::directory(directory.path().as_os_str().as_encoded_bytes()).unwrap();
        let root = Descriptor::of_preopen(Preopen {
            name: b"/".to_vec(),
            directory: open,
            reach,
            read_only,
            twin: Twin::None,
        })
        .unwrap();
        let wasi = Wasi::new(
            vec![b"name".to_vec(), Vec::new(), b"\xff\xfe".to_vec()],
            vec![b"A=1".to_vec(), b"B=\xff".to_vec()],
            [null(), null(), null(), root],
        );
        Self { wasi, memory: vec![0; MEMORY], next: 1024, directory }
    }

    /// The function with this name and so many parameters; what it returns.
    pub fn call(&mut self, name: &str, args: &[u64]) -> u16 {
        match self.end(name, args) {
            Ok(()) => SUCCESS,
            Err(Stop::Errno(Errno(errno))) => errno,
            Err(Stop::Exit(code)) => panic!("{name} has ended the guest with {code}"),
        }
    }

    pub fn end(&mut self, name: &str, args: &[u64]) -> Result<(), Stop> {
        let is_it = |one: &&wasmedge_shim_wasi::preview1::Function| one.name == name && one.params.len() == args.len();
        let function =
            FUNCTIONS.iter().find(is_it).unwrap_or_else(|| panic!("no {name} with {} parameters", args.len()));
        function.call(&mut self.wasi, &mut self.memory, args)
    }

    /// The same of `wasi_unstable`.
    pub fn call_unstable(&mut self, name: &str, params: &[Type], args: &[u64]) -> u16 {
        let function = wasmedge_shim_wasi::preview1::find("wasi_unstable", name, params, true).expect(name);
        match function.call(&mut self.wasi, &mut self.memory, args) {
            Ok(()) => SUCCESS,
            Err(Stop::Errno(Errno(errno))) => errno,
            Err(stop) => panic!("{stop:?}"),
        }
    }

    /// Puts something into its memory; where it lies.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) -> u64 {
        let bytes = bytes.as_ref();
        let at = self.next as usize;
        self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        self.next += (bytes.len() as u32).next_multiple_of(8) + 8;
        at as u64
    }

    /// Room for so many bytes, all of them 0xee.
    pub fn room(&mut self, length: usize) -> u64 {
        self.put(vec![0xee; length])
    }

    pub fn bytes(&self, at: u64, length: usize) -> &[u8] {
        &self.memory[at as usize..][..length]
    }

    pub fn u8(&self, at: u64) -> u8 {
        self.memory[at as usize]
    }

    pub fn u16(&self, at: u64) -> u16 {
        u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap())
    }

    pub fn u32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }

    pub fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().unwrap())
    }

    /// A list of pieces: their addresses and lengths.
    pub fn pieces(&mut self, pieces: &[(u64, u32)]) -> u64 {
        let mut list = Vec::new();
        for (at, length) in pieces {
            list.extend((*at as u32).to_le_bytes());
            list.extend(length.to_le_bytes());
        }
        self.put(list)
    }

    /// Gives a descriptor the lowest number.
    pub fn insert(&mut self, file: impl Into<OwnedFd>) -> u64 {
        self.wasi.table.insert(Descriptor::new(file.into()).unwrap()).into()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write_file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// `path_open` from `from` that follows links.
    pub fn open_at(&mut self, from: u64, name: &str, how: u32, rights: u64, flags: u32) -> Result<u64, u16> {
        let (path, to) = (self.put(name), self.room(4));
        let args = [from, 1, path, name.len() as u64, how.into(), rights, ALL, flags.into(), to];
        match self.call("path_open", &args) {
            SUCCESS => Ok(self.u32(to).into()),
            errno => Err(errno),
        }
    }

    /// `path_open` from the first directory.
    pub fn open(&mut self, name: &str, how: u32, rights: u64) -> Result<u64, u16> {
        self.open_at(ROOT.into(), name, how, rights, 0)
    }

    /// A function of a directory and a path.
    pub fn at(&mut self, function: &str, from: u64, name: &str) -> u16 {
        let path = self.put(name);
        self.call(function, &[from, path, name.len() as u64])
    }

    /// `fd_read`, up to `length` bytes.
    pub fn read(&mut self, fd: u64, length: u32) -> Result<Vec<u8>, u16> {
        let (buffer, to) = (self.room(length as usize), self.room(4));
        let list = self.pieces(&[(buffer, length)]);
        match self.call("fd_read", &[fd, list, 1, to]) {
            SUCCESS => Ok(self.bytes(buffer, self.u32(to) as usize).to_vec()),
            errno => Err(errno),
        }
    }

    /// `fd_write`.
    pub fn write(&mut self, fd: u64, bytes: impl AsRef<[u8]>) -> Result<u32, u16> {
        let length = bytes.as_ref().len() as u32;
        let (buffer, to) = (self.put(bytes), self.room(4));
        let list = self.pieces(&[(buffer, length)]);
        match self.call("fd_write", &[fd, list, 1, to]) {
            SUCCESS => Ok(self.u32(to)),
            errno => Err(errno),
        }
    }
}

pub fn is_root() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() == 0 }
}

pub fn exists(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok()
}
