//! Which directories a guest finds open, as its container's annotation or the runtime's option has it.

use std::path::Path;

use wasmedge_shim_protocol::Preopen;

use crate::wasm::{Directory, Reach, open_directory};

/// The directories that `preopens` name, where `usual` are those that nobody has to name.
///
/// # Errors
/// A directory that cannot be opened is named with the cause.
pub fn directories(preopens: &[Preopen], usual: &[Directory]) -> Result<Vec<Directory>, String> {
    let mut directories = Vec::new();
    for preopen in preopens {
        match preopen {
            Preopen::Usual => directories.extend(usual.iter().cloned()),
            Preopen::Directory { guest, path, read_only } => {
                open_directory(Path::new(path)).map_err(|error| format!("cannot preopen {path}: {error}"))?;
                directories.push(named(guest, path, *read_only));
            }
        }
    }
    Ok(directories)
}

/// One that the container's author has chosen: nothing leads out of it. One that is called `/` is the guest's root.
pub fn named(guest: &str, path: &str, read_only: bool) -> Directory {
    let reach = if guest == "/" { Reach::Root } else { Reach::Beneath };
    Directory { name: guest.to_owned(), path: path.into(), reach, read_only }
}

/// The order in which programs find them.
///
/// Many take the first one, descriptor 3, for their working directory (Zig, AssemblyScript); wasi-libc takes the last one
/// of those that it cannot tell apart, `/` and `.`. So the working directory comes first and last.
pub fn in_order(mut directories: Vec<Directory>) -> Vec<Directory> {
    // The last one of that name is meant, as wasi-libc has it.
    let dot = directories.iter().rfind(|directory| directory.name == ".").cloned();
    directories.retain(|directory| directory.name != ".");
    directories.sort_by_key(|directory| directory.name != "/");
    if let Some(dot) = dot {
        if !directories.is_empty() {
            directories.push(dot.clone());
        }
        directories.insert(0, dot);
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(guest: &str, path: &str, read_only: bool) -> Preopen {
        Preopen::Directory { guest: guest.into(), path: path.into(), read_only }
    }

    #[test]
    fn the_working_directory_comes_first_and_last_and_what_is_missing_is_named() {
        let list = [directory("/x", "/tmp", true), directory(".", "/tmp", false), Preopen::Usual];
        let usual = [Directory { reach: Reach::Container, ..named("/", "/", false) }];
        let found = in_order(directories(&list, &usual).unwrap());
        let names: Vec<_> = found.iter().map(|one| (&*one.name, one.reach, one.read_only)).collect();
        let dot = (".", Reach::Beneath, false);
        assert_eq!(names, [dot, ("/", Reach::Container, false), ("/x", Reach::Beneath, true), dot]);
        let error = directories(&[directory("/x", "/no/such", false)], &[]).unwrap_err();
        assert_eq!(error, "cannot preopen /no/such: No such file or directory (os error 2)");
        assert_eq!(named("/", "/data", false).reach, Reach::Root);
        assert_eq!(in_order(vec![named(".", "/tmp", false)]).len(), 1);
        let two = in_order(vec![named(".", "/usr", false), named("/", "/", false), named(".", "/tmp", false)]);
        let paths: Vec<_> = two.iter().map(|one| one.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/tmp", "/", "/tmp"]);
    }
}
