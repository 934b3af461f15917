//! Which directories a guest finds open, as its container's annotation has it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::wasm::{Directory, Reach, open_directory};

/// A directory of the container that a guest finds open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preopen {
    /// Those that there are without an annotation.
    Usual,
    /// One by name.
    Directory {
        /// Its name for the guest.
        guest: String,
        /// Its absolute path in the container.
        path: String,
        /// Whether nothing can be changed through it.
        read_only: bool,
    },
}

impl Preopen {
    /// What [`Self::list`] takes, for messages.
    pub const SYNTAX: &str = "none, or a list of default and GUEST:PATH[:ro] with absolute paths";

    /// A list: `default` and entries `GUEST:PATH`, `GUEST:PATH:ro`, or just `PATH`, `PATH:ro`, separated by commas; `none`
    /// is the empty one.
    ///
    /// # Errors
    /// The entry that is none of these.
    pub fn list(text: &str) -> Result<Vec<Self>, &str> {
        if text == "none" {
            return Ok(Vec::new());
        }
        text.split(',').map(|entry| Self::parse(entry.trim()).ok_or(entry)).collect()
    }

    fn parse(entry: &str) -> Option<Self> {
        if entry == "default" {
            return Some(Self::Usual);
        }
        let (directory, read_only) = match entry.strip_suffix(":ro") {
            Some(directory) => (directory, true),
            None => (entry.strip_suffix(":rw").unwrap_or(entry), false),
        };
        let (guest, path) = directory.split_once(':').unwrap_or((directory, directory));
        let sound = !guest.is_empty() && path.starts_with('/') && !path.contains([':', '\0']) && !guest.contains('\0');
        sound.then(|| Self::Directory { guest: guest.to_owned(), path: path.to_owned(), read_only })
    }
}

/// The directories that `preopens` name, where `usual` are those without an annotation.
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
    fn entries_are_renamed_read_only_or_the_usual_ones() {
        assert_eq!(Preopen::list("none").unwrap(), []);
        assert_eq!(
            Preopen::list("default, /in:/data/in:ro,.:/work:rw,/tmp,/etc:ro").unwrap(),
            [
                Preopen::Usual,
                directory("/in", "/data/in", true),
                directory(".", "/work", false),
                directory("/tmp", "/tmp", false),
                directory("/etc", "/etc", true),
            ]
        );
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for entry in ["", "data", "/a:b", "/a:b:ro", ":/a", "/a:/b:rx", "/a:/b:/c", "none"] {
            assert_eq!(Preopen::list(&format!("/x,{entry}")), Err(entry));
        }
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
