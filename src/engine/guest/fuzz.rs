//! For fuzzing: entrypoints, preopens, what processes of a container report.

use std::{
    fs::File,
    io::{self, Seek, Write},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use oci_spec::runtime::ProcessBuilder;
use wasmedge_shim_protocol::{Outcome, Preopen};

use super::{Entrypoint, missing, preopens, report, resolve};
use crate::{journal, wasm::Reach};

/// A file of a container that has as many kinds of files as there are rules for them, told by the names' last byte.
fn open(path: &Path) -> io::Result<File> {
    static FILES: OnceLock<[File; 4]> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        [&b"\0asm\x01\0\0\0"[..], b"\0asm\x0d\0\x01\0", b"#!/bin/sh\n", b""].map(|content| {
            let mut file = File::from(memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).unwrap());
            file.write_all(content).unwrap();
            file
        })
    });
    let last = *path.as_os_str().as_encoded_bytes().last().unwrap_or(&0);
    match usize::from(last % 8) {
        kind @ 0..4 => {
            let mut file = files[kind].try_clone()?;
            file.rewind()?;
            Ok(file)
        }
        4 => File::open("/"),
        5 => Err(io::Error::from_raw_os_error(libc::EACCES)),
        6 => Err(io::Error::from_raw_os_error(libc::ENOTDIR)),
        _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
    }
}

/// A working directory, an environment and arguments, a line each and a line apiece: whatever they are, a program is
/// absolute and has its name as the first of its arguments.
pub fn entrypoint(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let cwd = PathBuf::from(format!("/{}", lines.next().unwrap_or_default()));
    let env: Vec<String> = lines.next().map(|path| format!("PATH={path}")).into_iter().collect();
    let args: Vec<String> = lines.map(str::to_owned).collect();
    let process = ProcessBuilder::default().cwd(cwd).args(args.clone()).env(env).build().unwrap();
    let found = resolve(&process, &open);
    let missing = missing(&process, &open);
    match found {
        Ok(Entrypoint::Wasm { path, function, args: words }) => {
            assert!(path.is_absolute(), "{path:?}");
            assert!(!function.is_empty() && !function.contains('#'), "{function:?}");
            assert!(args.ends_with(&words[1..]), "{words:?}");
            let named = words[0].as_str();
            let given =
                |arg: &String| arg == named || arg.strip_prefix(named).is_some_and(|rest| rest.starts_with('#'));
            assert!(args.iter().any(given), "{named:?}");
        }
        Ok(Entrypoint::Linux { path, args: words }) => {
            assert!(path.is_absolute() && words == args, "{path:?} {words:?}");
        }
        Err(error) => {
            let text = error.to_string();
            assert!(args.first().is_none_or(String::is_empty) || text.starts_with("exec: "), "{text}");
        }
    }
    if let Some((name, path)) = missing {
        assert!(path.is_absolute() && !name.is_empty(), "{name:?} {path:?}");
    }
}

/// A list of preopens: each has a name and an absolute path, and walls.
pub fn preopens(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(list) = Preopen::list(text) else { return };
    for one in &list {
        let Preopen::Directory { guest, path, read_only } = one else { continue };
        assert!(!guest.is_empty() && path.starts_with('/'), "{one:?}");
        let named = preopens::named(guest, path, *read_only);
        assert!(named.reach != Reach::Container && !path.contains('\0') && !guest.contains('\0'), "{named:?}");
        assert_eq!((&named.name, named.path.to_str(), named.read_only), (guest, Some(&**path), *read_only));
    }
}

/// What a process of a container may have sent as a cause: it becomes one line of bounded length that no terminal obeys.
/// What a worker may have sent: it is understood, and means the same when it is passed on, or it is not.
pub fn reports(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(!journal::escaped(&text).chars().any(char::is_control), "{text:?}");
    let line = report::one_line(&String::from_utf8_lossy(data));
    assert!(line.len() <= wasmedge_shim_protocol::MAX_TEXT && !line.chars().any(char::is_control), "{line:?}");
    let Ok(outcome) = postcard::from_bytes::<Outcome>(data) else { return };
    let again = postcard::to_stdvec(&outcome).unwrap();
    assert_eq!(postcard::from_bytes::<Outcome>(&again).unwrap(), outcome);
}
