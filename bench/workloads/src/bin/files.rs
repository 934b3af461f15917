//! What programs do with files, by Rust's standard library. Each makes its files in `/bench-files`, and then does the same
//! again and again, within about a millisecond natively.
//!
//! usage: files NAME REPETITIONS
//!        files list

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use bench_workloads::{Once, Random, Repeated, fold};

const DIRECTORY: &str = "/bench-files";

/// Files in the directory that is listed, and of which each is looked at.
const FILES: usize = 1000;

const KIB: usize = 1 << 10;

const ALL: [Repeated; 9] = [
    ("read-64k", || read(4096 * KIB, 64 * KIB)),
    ("read-4k", || read(1024 * KIB, 4 * KIB)),
    ("read-at-random", read_at_random),
    ("write-64k", || write(1024 * KIB, 64 * KIB)),
    ("write-4k", || write(512 * KIB, 4 * KIB)),
    ("open-close", open_close),
    ("stat", stat),
    ("stat-missing", stat_missing),
    ("readdir", readdir),
];

fn main() {
    bench_workloads::repeat("files", &ALL);
}

/// What went wrong with a file ends the program.
fn done<T>(result: io::Result<T>) -> T {
    workloads::or_exit("files", result)
}

fn directory(name: &str) -> PathBuf {
    let path = Path::new(DIRECTORY).join(name);
    done(fs::create_dir_all(&path));
    path
}

/// A file of this size with content that looks random.
fn file(name: &str, size: usize) -> PathBuf {
    let path = directory("").join(name);
    let mut random = Random::new();
    let bytes: Vec<u8> = (0..size / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    done(fs::write(&path, bytes));
    path
}

fn many() -> Vec<PathBuf> {
    let directory = directory("many");
    let paths: Vec<_> = (0..FILES).map(|number| directory.join(format!("file-{number:04}"))).collect();
    for path in &paths {
        done(fs::write(path, b"content"));
    }
    paths
}

/// Reads a file from its beginning to its end.
fn read(size: usize, piece: usize) -> Once {
    let mut file = done(File::open(file("read", size)));
    let mut buffer = vec![0; piece];
    Box::new(move || {
        done(file.seek(SeekFrom::Start(0)));
        let mut sum = 0;
        loop {
            match done(file.read(&mut buffer)) {
                0 => return sum,
                length => sum = fold([sum, u64::from(buffer[length / 2])]),
            }
        }
    })
}

/// Reads pieces of 4 KiB all over a file, as a database does.
fn read_at_random() -> Once {
    const PIECES: usize = 256;
    let mut file = done(File::open(file("read", PIECES * 4 * KIB)));
    let mut buffer = vec![0; 4 * KIB];
    Box::new(move || {
        let mut random = Random::new();
        fold((0..PIECES).map(|_| {
            done(file.seek(SeekFrom::Start((random.below(PIECES) * 4 * KIB) as u64)));
            done(file.read_exact(&mut buffer));
            u64::from(buffer[17])
        }))
    })
}

/// Writes a file over, from its beginning to its end.
fn write(size: usize, piece: usize) -> Once {
    let mut file = done(OpenOptions::new().write(true).open(file("write", size)));
    let buffer = vec![0x5a; piece];
    Box::new(move || {
        done(file.seek(SeekFrom::Start(0)));
        (0..size / piece).for_each(|_| done(file.write_all(&buffer)));
        done(file.stream_position())
    })
}

fn open_close() -> Once {
    let paths = many();
    Box::new(move || fold(paths.iter().take(200).map(|path| u64::from(File::open(path).is_ok()))))
}

fn stat() -> Once {
    let paths = many();
    Box::new(move || fold(paths.iter().map(|path| done(fs::metadata(path)).len())))
}

fn stat_missing() -> Once {
    let missing: Vec<_> = (0..FILES).map(|number| directory("many").join(format!("missing-{number}"))).collect();
    Box::new(move || fold(missing.iter().map(|path| u64::from(fs::metadata(path).is_err()))))
}

/// Lists a directory, and asks for the types of what is in it.
fn readdir() -> Once {
    many();
    let directory = directory("many");
    Box::new(move || {
        let entries = done(fs::read_dir(&directory)).map(done);
        entries.map(|entry| (entry.file_name().len() + usize::from(done(entry.file_type()).is_file())) as u64).sum()
    })
}
