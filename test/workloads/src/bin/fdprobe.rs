//! Tries to reach out of its sandbox by raw WASI calls and tells what it reached, one finding a line:
//! `fd=N type=T preopen=PATH` for each descriptor open from the start, then `reached: ATTEMPT` or
//! `refused: ATTEMPT (errno N)`. What a container may see (its own root) is for the reader to judge.
//!
//! usage: fdprobe [PATH...] (more paths to try from each preopened directory)

const PATHS: [&str; 14] = [
    "/proc",
    "/sys",
    "/etc/shadow",
    "proc",
    "proc/self/fd",
    "proc/1/root",
    "sys",
    "dev",
    "../..",
    "../../../../../etc/hostname",
    "tmp/../../../..",
    "tmp/fdprobe-link/etc/hostname",
    "links/up/etc/hostname",
    "links/proc/1/root",
];

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn fd_fdstat_get(fd: i32, stat: *mut [u64; 3]) -> u16;
    fn fd_prestat_get(fd: i32, prestat: *mut [u32; 2]) -> u16;
    fn fd_prestat_dir_name(fd: i32, name: *mut u8, length: usize) -> u16;
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
    fn path_symlink(
        to: *const u8,
        to_length: usize,
        fd: i32,
        path: *const u8,
        length: usize,
    ) -> u16;
    fn path_unlink_file(fd: i32, path: *const u8, length: usize) -> u16;
    fn fd_close(fd: i32) -> u16;
}

fn main() {
    let mut preopens = Vec::new();
    for fd in 0..64 {
        let Some(kind) = kind_of(fd) else { continue };
        let name = preopen_name(fd);
        println!(
            "fd={fd} type={kind} preopen={}",
            name.as_deref().unwrap_or("-")
        );
        preopens.extend(name.map(|name| (fd, name)));
    }
    let extra: Vec<String> = std::env::args().skip(1).collect();
    for (fd, name) in preopens {
        let (to, link) = ("../../../..", "tmp/fdprobe-link");
        // SAFETY: the host reads the strings and keeps nothing.
        let made = unsafe { path_symlink(to.as_ptr(), to.len(), fd, link.as_ptr(), link.len()) };
        tell(&format!("symlink {link} to {to} in {name}"), made);
        for path in PATHS.into_iter().chain(extra.iter().map(String::as_str)) {
            tell(&format!("open {path} from {name}"), open(fd, path));
        }
        // SAFETY: as above.
        unsafe { path_unlink_file(fd, link.as_ptr(), link.len()) };
    }
}

fn tell(attempt: &str, errno: u16) {
    match errno {
        0 => println!("reached: {attempt}"),
        errno => println!("refused: {attempt} (errno {errno})"),
    }
}

/// WASI's file type of an open descriptor: 1 block device, 2 character device, 3 directory, 4 file, 6 stream socket,
/// 0 unknown (pipes, among others).
fn kind_of(fd: i32) -> Option<u8> {
    let mut stat = [0; 3];
    // SAFETY: `stat` has the 24 bytes that the host writes.
    (unsafe { fd_fdstat_get(fd, &mut stat) } == 0).then_some(stat[0] as u8)
}

fn preopen_name(fd: i32) -> Option<String> {
    let mut prestat = [0; 2];
    // SAFETY: `prestat` has the 8 bytes that the host writes.
    if unsafe { fd_prestat_get(fd, &mut prestat) } != 0 {
        return None;
    }
    let mut name = vec![0; prestat[1] as usize];
    // SAFETY: the host writes `length` bytes at most.
    unsafe { fd_prestat_dir_name(fd, name.as_mut_ptr(), name.len()) };
    Some(String::from_utf8_lossy(&name).into_owned())
}

/// Opens `path` below `fd`, following symlinks, with no rights but those of looking; the errno.
fn open(fd: i32, path: &str) -> u16 {
    let (follow, path_open_and_readdir) = (1, 1 << 13 | 1 << 14);
    let mut opened = -1;
    // SAFETY: the host reads `path` and writes one descriptor, which nobody else uses.
    unsafe {
        let errno = path_open(
            fd,
            follow,
            path.as_ptr(),
            path.len(),
            0,
            path_open_and_readdir,
            path_open_and_readdir,
            0,
            &mut opened,
        );
        if errno == 0 {
            fd_close(opened);
        }
        errno
    }
}
