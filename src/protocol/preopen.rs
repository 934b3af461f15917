//! Directories that a module finds open.

use serde::{Deserialize, Serialize};

/// A directory of the container that a guest finds open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preopen {
    /// Those that there are where nobody says which.
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

    /// What [`Self::parse`] takes in a list of strings, for messages.
    pub const ENTRIES: &str = "a list of \"default\" and \"GUEST:PATH[:ro]\" with absolute paths";

    /// A list: entries as [`Self::parse`] takes them, separated by commas; `none` is the empty one.
    ///
    /// # Errors
    /// The entry that is none of these.
    pub fn list(text: &str) -> Result<Vec<Self>, &str> {
        if text == "none" {
            return Ok(Vec::new());
        }
        text.split(',').map(|entry| Self::parse(entry.trim()).ok_or(entry)).collect()
    }

    /// One entry: `default`, `GUEST:PATH`, `GUEST:PATH:ro`, or just `PATH`, `PATH:ro`.
    pub fn parse(entry: &str) -> Option<Self> {
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
}
