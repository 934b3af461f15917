//! Lists its preopened directories, one a line, and tries to change something through each of them by raw WASI calls:
//! through the directory itself, and through the directory `sub` that it opens in it with all the rights that it can
//! get. A line for each attempt: `DIRECTORY ATTEMPT=ERRNO`, 0 for success (WASI preview 1, `errno`).
//!
//! usage: preopens

const DIRECTORY: u16 = 2;
const CREATE: u16 = 1;
const TRUNCATE: u16 = 8;
/// Rights to write, which no directory can be opened with.
const OF_FILES: u64 = 1 | WRITE | 1 << 8 | 1 << 22;
const READ: u64 = 1 << 1;
const WRITE: u64 = 1 << 6;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_fdstat_get(fd: i32, stat: *mut [u64; 3]) -> u16;
    fn fd_fdstat_set_rights(fd: i32, base: u64, inheriting: u64) -> u16;
    fn fd_filestat_set_times(fd: i32, accessed: u64, modified: u64, flags: u16) -> u16;
    fn fd_filestat_set_size(fd: i32, size: u64) -> u16;
    fn fd_prestat_get(fd: i32, prestat: *mut [u32; 2]) -> u16;
    fn fd_prestat_dir_name(fd: i32, name: *mut u8, length: usize) -> u16;
    fn fd_write(fd: i32, vectors: *const [usize; 2], count: usize, written: *mut usize) -> u16;
    fn path_create_directory(fd: i32, path: *const u8, length: usize) -> u16;
    fn path_filestat_set_times(fd: i32, lookup: u32, path: *const u8, length: usize, a: u64, m: u64, flags: u16)
    -> u16;
    fn path_link(fd: i32, lookup: u32, from: *const u8, length: usize, to: i32, path: *const u8, length: usize) -> u16;
    fn path_open(
        fd: i32,
        lookup: u32,
        path: *const u8,
        length: usize,
        how: u16,
        rights: u64,
        inherited: u64,
        flags: u16,
        opened: *mut i32,
    ) -> u16;
    fn path_remove_directory(fd: i32, path: *const u8, length: usize) -> u16;
    fn path_rename(fd: i32, from: *const u8, length: usize, to: i32, path: *const u8, length: usize) -> u16;
    fn path_symlink(to: *const u8, length: usize, fd: i32, path: *const u8, length: usize) -> u16;
    fn path_unlink_file(fd: i32, path: *const u8, length: usize) -> u16;
}

fn main() {
    for fd in 3..32 {
        let Some(name) = name_of(fd) else { break };
        println!("preopen {name}");
        attempt_all(&name, fd);
        let inherited = rights(fd).1;
        let (code, sub) = open(fd, "sub", DIRECTORY, inherited & !OF_FILES, inherited);
        println!("{name} open-sub={code}");
        if code == 0 {
            attempt_all(&format!("{name}/sub"), sub);
        }
    }
}

/// Each attempt leaves behind what the next ones need, where it succeeds: `file`, `empty` and `link` are there before.
fn attempt_all(name: &str, fd: i32) {
    let say = |what: &str, code: u16| println!("{name} {what}={code}");
    let (file, new) = ("file", "new");
    // SAFETY: the pointers are those of strings and buffers that outlive the calls.
    unsafe {
        say("read", read(fd, file));
        say("write", write(fd, file));
        say("create", open(fd, new, CREATE, WRITE, 0).0);
        say("truncate", open(fd, file, TRUNCATE, WRITE, 0).0);
        say("truncate-read", open(fd, file, TRUNCATE, READ, 0).0);
        say("mkdir", path_create_directory(fd, "made".as_ptr(), 4));
        say("symlink", path_symlink(file.as_ptr(), 4, fd, "soft".as_ptr(), 4));
        say("link", path_link(fd, 0, file.as_ptr(), 4, fd, "hard".as_ptr(), 4));
        say("rename", path_rename(fd, "moved".as_ptr(), 5, fd, "other".as_ptr(), 5));
        say("times", path_filestat_set_times(fd, 0, file.as_ptr(), 4, 1, 1, 5));
        say("own-times", fd_filestat_set_times(fd, 1, 1, 5));
        say("file-times", on_file(fd, |opened| fd_filestat_set_times(opened, 1, 1, 5)));
        say("file-size", on_file(fd, |opened| fd_filestat_set_size(opened, 0)));
        say("more-rights", fd_fdstat_set_rights(fd, u64::MAX >> 35, u64::MAX >> 35));
        say("rmdir", path_remove_directory(fd, "empty".as_ptr(), 5));
        say("unlink", path_unlink_file(fd, "gone".as_ptr(), 4));
    }
}

fn name_of(fd: i32) -> Option<String> {
    let mut prestat = [0; 2];
    // SAFETY: writes to the two buffers, the second of the length that was told.
    unsafe {
        if fd_prestat_get(fd, &raw mut prestat) != 0 {
            return None;
        }
        let mut name = vec![0; prestat[1] as usize];
        (fd_prestat_dir_name(fd, name.as_mut_ptr(), name.len()) == 0)
            .then(|| String::from_utf8_lossy(&name).into_owned())
    }
}

/// What may be done to `fd`, and to what is opened through it.
fn rights(fd: i32) -> (u64, u64) {
    let mut stat = [0; 3];
    // SAFETY: writes to the buffer.
    unsafe { fd_fdstat_get(fd, &raw mut stat) };
    (stat[1], stat[2])
}

fn open(fd: i32, path: &str, how: u16, rights: u64, inherited: u64) -> (u16, i32) {
    let mut opened = -1;
    // SAFETY: reads the path, writes one number.
    let code = unsafe { path_open(fd, 0, path.as_ptr(), path.len(), how, rights, inherited, 0, &raw mut opened) };
    (code, opened)
}

/// Does something to `file`, opened with all the rights that can be had.
fn on_file(fd: i32, what: impl FnOnce(i32) -> u16) -> u16 {
    let inherited = rights(fd).1;
    match open(fd, "file", 0, inherited, 0) {
        (0, opened) => what(opened),
        (code, _) => code,
    }
}

fn read(fd: i32, path: &str) -> u16 {
    open(fd, path, 0, READ, 0).0
}

fn write(fd: i32, path: &str) -> u16 {
    let (code, opened) = open(fd, path, 0, WRITE, 0);
    if code != 0 {
        return code;
    }
    let mut written = 0;
    let vector = [b"x".as_ptr().addr(), 1];
    // SAFETY: reads one byte, writes one number.
    unsafe { fd_write(opened, &raw const vector, 1, &raw mut written) }
}
