//! The file system by Rust's standard library. Prints one line a step: what was done and what came of it, an error by
//! the name of its errno: texts and numbers differ between systems, and so do the kinds that the standard library knows.
//!
//! usage: fs DIRECTORY

use std::{
    env,
    fmt::Debug,
    fs::{self, File, FileTimes},
    io::{self, Read, Result, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

fn main() {
    let directory = env::args().nth(1).expect("usage: fs DIRECTORY");
    let at = |path: &str| Path::new(&directory).join(path);
    whole_files(&at);
    links(&at);
    handles(&at);
    times(&at);
    refusals(&at);
    directories(&at);
    standard_streams();
}

fn step<T: Debug>(what: &str, result: Result<T>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: {}", name(&error)),
    }
}

/// An errno's name and its number on Linux and in WASI.
const ERRNOS: [(&str, i32, i32); 15] = [
    ("EACCES", 13, 2),
    ("EBADF", 9, 8),
    ("EEXIST", 17, 20),
    ("EINVAL", 22, 28),
    ("EISDIR", 21, 31),
    ("ELOOP", 40, 32),
    ("EMFILE", 24, 33),
    ("ENAMETOOLONG", 36, 37),
    ("ENOENT", 2, 44),
    ("ENOTDIR", 20, 54),
    ("ENOTEMPTY", 39, 55),
    ("EPERM", 1, 63),
    ("EROFS", 30, 69),
    ("EXDEV", 18, 75),
    ("ENOTCAPABLE", 0, 76),
];

fn name(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else { return format!("{:?}", error.kind()) };
    let found = ERRNOS.iter().find(|(_, linux, wasi)| number == if cfg!(target_os = "wasi") { *wasi } else { *linux });
    found.map_or_else(|| error.to_string(), |(name, ..)| (*name).to_owned())
}

fn names(path: PathBuf) -> Result<Vec<(String, bool, bool)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        names.push((entry.file_name().to_string_lossy().into_owned(), kind.is_dir(), kind.is_symlink()));
    }
    names.sort();
    Ok(names)
}

fn whole_files(at: &impl Fn(&str) -> PathBuf) {
    step("create_dir_all", fs::create_dir_all(at("r/a/b")));
    step("create_dir again", fs::create_dir(at("r")));
    step("write", fs::write(at("r/f"), "hello"));
    step("read_to_string", fs::read_to_string(at("r/f")));
    step("copy", fs::copy(at("r/f"), at("r/g")));
    step("rename", fs::rename(at("r/g"), at("r/a/g")));
    step("rename over", fs::copy(at("r/f"), at("r/old")).and_then(|_| fs::rename(at("r/a/g"), at("r/old"))));
    step("rename a directory over a file", fs::rename(at("r/a"), at("r/f")));
    step("exists", fs::exists(at("r/none")));
    step("metadata", fs::metadata(at("r/f")).map(|found| (found.len(), found.is_file(), found.is_dir())));
    step("a name of 254 bytes", fs::write(at(&"é".repeat(127)), "long"));
    step("a name of 256 bytes", fs::write(at(&"é".repeat(128)), "too long"));
    step("a name with a zero", fs::write("a\0b", "x"));
    step("canonicalize", fs::canonicalize(at("r/a/../f")).map(|_| ()));
}

fn links(at: &impl Fn(&str) -> PathBuf) {
    step("hard_link", fs::hard_link(at("r/f"), at("r/hard")));
    #[cfg(target_os = "linux")]
    let link = |target: &str, path: &str| std::os::unix::fs::symlink(target, at(path));
    #[cfg(target_os = "wasi")]
    let link = |target: &str, path: &str| symlink(target, &at(path));
    step("symlink", link("f", "r/link"));
    step("symlink again", link("f", "r/link"));
    step("symlink to a directory", link("a/b", "r/to-directory"));
    step("symlink to /etc/passwd", link("/etc/passwd", "r/passwd"));
    for path in ["r/link", "r/to-directory", "r/passwd"] {
        step("read_link", fs::read_link(at(path)));
        let kinds = |found: fs::Metadata| (found.is_symlink(), found.is_file(), found.is_dir());
        step("symlink_metadata", fs::symlink_metadata(at(path)).map(kinds));
        step("metadata", fs::metadata(at(path)).map(kinds));
    }
    step("read by a link", fs::read_to_string(at("r/passwd")).map(|text| text.lines().count()));
    step("write by a link", fs::write(at("r/link"), "by a link"));
    step("read what it leads to", fs::read_to_string(at("r/hard")));
    step("remove a link", fs::remove_file(at("r/to-directory")));
}

/// The standard library has no stable function for it on this target.
#[cfg(target_os = "wasi")]
fn symlink(target: &str, path: &Path) -> Result<()> {
    use std::ffi::{CString, c_char, c_int};
    unsafe extern "C" {
        fn symlink(target: *const c_char, path: *const c_char) -> c_int;
    }
    let (target, path) = (CString::new(target)?, CString::new(path.to_string_lossy().as_bytes())?);
    // SAFETY: wasi-libc's function, with strings that end with a zero.
    match unsafe { symlink(target.as_ptr(), path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn handles(at: &impl Fn(&str) -> PathBuf) {
    let open = || File::options().read(true).write(true).open(at("r/f"));
    step("set_len", open().and_then(|file| file.set_len(4)));
    step("set_len beyond", open().and_then(|file| file.set_len(6)));
    step("create_new", File::create_new(at("r/f")).map(drop));
    let append = |text: &str| File::options().append(true).open(at("r/f"))?.write_all(text.as_bytes());
    step("append", append("XX").and_then(|()| append("YY")));
    step("read", fs::read(at("r/f")));
    let seek = |to: SeekFrom| {
        let mut file = open()?;
        file.seek(to)?;
        let mut rest = String::new();
        file.read_to_string(&mut rest)?;
        Ok::<_, io::Error>(rest)
    };
    step("seek from the end", seek(SeekFrom::End(-3)));
    step("seek before the start", seek(SeekFrom::Current(-1)));
    step("seek beyond the end", seek(SeekFrom::Start(1000)));
    step("sync_all", open().and_then(|file| file.sync_all()));
    step("sync_data", open().and_then(|file| file.sync_data()));
    step("sync_all of a directory", File::open(at("r")).and_then(|directory| directory.sync_all()));
    step("a file removed while open", {
        fs::write(at("r/gone"), "still here").and_then(|()| File::open(at("r/gone"))).and_then(|mut file| {
            fs::remove_file(at("r/gone"))?;
            let mut text = String::new();
            file.read_to_string(&mut text).map(|_| text)
        })
    });
}

fn times(at: &impl Fn(&str) -> PathBuf) {
    let nanoseconds = |result: Result<std::time::SystemTime>| {
        result.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos())
    };
    let (accessed, modified) = (Duration::from_secs(5), Duration::new(1_000_000_000, 123_456_789));
    let times = FileTimes::new().set_accessed(UNIX_EPOCH + accessed).set_modified(UNIX_EPOCH + modified);
    step("set_times", File::options().write(true).open(at("r/f")).and_then(|file| file.set_times(times)));
    step("modified", nanoseconds(fs::metadata(at("r/f")).and_then(|found| found.modified())));
    step("accessed", nanoseconds(fs::metadata(at("r/f")).and_then(|found| found.accessed())));
    let later = UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    step("set_modified", File::options().write(true).open(at("r/f")).and_then(|file| file.set_modified(later)));
    step("accessed still", nanoseconds(fs::metadata(at("r/f")).and_then(|found| found.accessed())));
}

fn refusals(at: &impl Fn(&str) -> PathBuf) {
    step("read a directory", fs::read(at("r")));
    step("write a directory", File::create(at("r")).map(drop));
    step("open below a file", File::open(at("r/f/x")).map(drop));
    step("open a file as a directory", fs::read_dir(at("r/f")).map(drop));
    step("remove a directory that is not empty", fs::remove_dir(at("r")));
    step("remove a directory as a file", fs::remove_file(at("r/a")));
    step("remove a file as a directory", fs::remove_dir(at("r/f")));
    step("open nothing", File::open(at("r/none")).map(drop));
    step("write to a file that is only read", File::open(at("r/f")).and_then(|mut file| file.write_all(b"x")));
}

fn directories(at: &impl Fn(&str) -> PathBuf) {
    step("read_dir", names(at("r")));
    for number in 0..500 {
        step("many files", fs::write(at(&format!("r/a/{number:04}")), "x"));
    }
    step("read_dir of many", names(at("r/a")).map(|names| names.len()));
    step(
        "remove while reading",
        fs::read_dir(at("r/a")).and_then(|entries| {
            let mut removed = 0;
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
            Ok(removed)
        }),
    );
    step("what is left", names(at("r/a")));
    step("remove_dir_all", fs::create_dir_all(at("tree/x/y")).and_then(|()| fs::remove_dir_all(at("tree"))));
    step("gone", fs::metadata(at("tree")).map(drop));
}

fn standard_streams() {
    let mut input = String::new();
    step("standard input", io::stdin().read_to_string(&mut input).map(|length| (length, input.lines().count())));
    step("/dev/null", fs::write("/dev/null", "x"));
    step("arguments", Ok(env::args_os().skip(2).collect::<Vec<_>>()));
}
