//! Which directories a guest finds open, as its container's annotation has it.

use std::path::Path;

use serde::{Deserialize, Serialize};

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

/// The engine's words for `preopens`, where `usual` are those without an annotation: `GUEST:PATH[:readonly]`.
///
/// wasi-libc cannot tell `/` and `.` apart and takes the later one, so these come first, in this order.
///
/// # Errors
/// A directory that cannot be opened is named with the cause.
pub fn spell(preopens: &[Preopen], usual: &[String]) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for preopen in preopens {
        match preopen {
            // Those that the user cannot open are left out, as without an annotation.
            Preopen::Usual => words.extend(usual.iter().filter(|word| opens(path_of(word)).is_ok()).cloned()),
            Preopen::Directory { guest, path, read_only } => {
                opens(path).map_err(|error| format!("cannot preopen {path}: {error}"))?;
                words.push(word(guest, path, *read_only));
            }
        }
    }
    words.sort_by_key(|word| match word.split(':').next() {
        Some("/") => 0,
        Some(".") => 1,
        _ => 2,
    });
    Ok(words)
}

/// The engine's word for a directory.
pub fn word(guest: &str, path: &str, read_only: bool) -> String {
    format!("{guest}:{path}{}", if read_only { ":readonly" } else { "" })
}

fn path_of(word: &str) -> &str {
    word.split(':').nth(1).unwrap_or_default()
}

fn opens(path: impl AsRef<Path>) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path).map(drop)
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
    fn the_root_and_the_working_directory_come_first_and_what_is_missing_is_named() {
        let list = [directory("/x", "/tmp", true), directory(".", "/tmp", false), Preopen::Usual];
        let words = spell(&list, &["/:/".to_owned(), "/gone:/no/such".to_owned()]).unwrap();
        assert_eq!(words, ["/:/", ".:/tmp", "/x:/tmp:readonly"]);
        let error = spell(&[directory("/x", "/no/such", false)], &[]).unwrap_err();
        assert_eq!(error, "cannot preopen /no/such: No such file or directory (os error 2)");
    }
}
