//! One operation on the file system. Prints what was asked for, else nothing; a failure prints
//! `OPERATION PATH: ERROR` on stderr and exits with 1.
//!
//! usage: files read PATH | write PATH TEXT | append PATH TEXT | list PATH | remove PATH | rename FROM TO
//!        | mkdir PATH | stat PATH | link TARGET PATH

use std::{
    env,
    ffi::{CString, c_char, c_int},
    fs, io,
    io::Write,
    time::UNIX_EPOCH,
};

const USAGE: &str = "files read PATH | write PATH TEXT | append PATH TEXT | list PATH | remove PATH \
                     | rename FROM TO | mkdir PATH | stat PATH | link TARGET PATH";

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["read", path] => fs::read(path).and_then(|bytes| io::stdout().write_all(&bytes)),
        ["write", path, text] => fs::write(path, text),
        ["append", path, text] => append(path, text),
        ["list", path] => list(path),
        ["remove", path] => remove(path),
        ["rename", from, to] => fs::rename(from, to),
        ["mkdir", path] => fs::create_dir(path),
        ["stat", path] => stat(path),
        ["link", target, path] => link(target, path),
        _ => workloads::usage(USAGE),
    };
    workloads::or_exit(&words[..2].join(" "), result);
}

fn append(path: &str, text: &str) -> io::Result<()> {
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// The names in a directory, sorted, one a line; those of directories end with a slash.
fn list(path: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    names.iter().for_each(|name| println!("{name}"));
    Ok(())
}

fn remove(path: &str) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir(path)
    } else {
        fs::remove_file(path)
    }
}

/// By the C library, as the standard library has no stable function for it on WASI.
fn link(target: &str, path: &str) -> io::Result<()> {
    unsafe extern "C" {
        fn symlink(target: *const c_char, path: *const c_char) -> c_int;
    }
    let (target, path) = (CString::new(target)?, CString::new(path)?);
    // SAFETY: both are strings of C, which live through the call.
    match unsafe { symlink(target.as_ptr(), path.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn stat(path: &str) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let kind = match found.file_type() {
        kind if kind.is_dir() => "directory",
        kind if kind.is_file() => "file",
        kind if kind.is_symlink() => "symlink",
        _ => "other",
    };
    let modified = found
        .modified()?
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    println!("type={kind} size={} modified={modified}", found.len());
    Ok(())
}
