//! What is to be done to files, before any of it is done.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use similar::TextDiff;

use super::record::Record;

/// One change. Paths are those of the system that is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Make a directory.
    MakeDirectory(PathBuf),
    /// Write a file, which had `before`, or was not there.
    Write {
        /// The file.
        path: PathBuf,
        /// What it has.
        before: Option<Vec<u8>>,
        /// What it gets.
        after: Vec<u8>,
        /// Its mode, if it is new.
        mode: u32,
    },
    /// Copy a program from `from`, a path of this process.
    Copy {
        /// The program.
        from: PathBuf,
        /// Where it goes.
        path: PathBuf,
    },
    /// Make a link to another program in the same directory.
    Link {
        /// The link.
        path: PathBuf,
        /// The program.
        target: &'static str,
    },
    /// Remove a file, which has `before` if that is text.
    Remove {
        /// The file.
        path: PathBuf,
        /// What it has.
        before: Option<Vec<u8>>,
    },
    /// Remove a directory, if nothing is in it.
    RemoveDirectory(PathBuf),
    /// Remove a directory with all that is in it.
    RemoveTree(PathBuf),
    /// Restart a unit of systemd.
    Restart(String),
}

/// All of it, in the order in which it is done, and what people are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is done.
    pub changes: Vec<Change>,
    /// What is said.
    pub notes: Vec<String>,
}

impl Change {
    /// What it concerns.
    pub fn path(&self) -> &Path {
        match self {
            Self::MakeDirectory(path) | Self::RemoveDirectory(path) | Self::RemoveTree(path) => path,
            Self::Link { path, .. }
            | Self::Write { path, .. }
            | Self::Copy { path, .. }
            | Self::Remove { path, .. } => path,
            Self::Restart(unit) => Path::new(unit),
        }
    }

    /// What was done, in a line.
    pub fn done(&self) -> String {
        let path = self.path().display();
        match self {
            Self::MakeDirectory(_) => format!("made {path}"),
            Self::Write { before: None, .. } => format!("wrote {path}"),
            Self::Write { .. } => format!("changed {path}"),
            Self::Copy { from, .. } => format!("copied {} to {path}", from.display()),
            Self::Link { target, .. } => format!("made {path}, a link to {target}"),
            Self::Remove { .. } | Self::RemoveDirectory(_) | Self::RemoveTree(_) => format!("removed {path}"),
            Self::Restart(unit) => format!("restarted {unit}"),
        }
    }
}

impl fmt::Display for Plan {
    /// As `--dry-run` shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        self.changes.iter().try_for_each(|change| change.fmt(f))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl fmt::Display for Change {
    /// A unified diff of text, a line of all else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::MakeDirectory(_) => writeln!(f, "make directory {path}"),
            // For this program's eyes.
            Self::Write { path, .. } if *path == Record::path() => writeln!(f, "write {}", path.display()),
            Self::Write { before, after, .. } => diff(f, self.path(), before.as_deref(), Some(after)),
            Self::Copy { from, .. } => writeln!(f, "copy {} to {path}", from.display()),
            Self::Remove { before: Some(before), .. } => diff(f, self.path(), Some(before), None),
            Self::Remove { .. } => writeln!(f, "remove {path}"),
            Self::Link { target, .. } => writeln!(f, "make {path}, a link to {target}"),
            Self::RemoveDirectory(_) => writeln!(f, "remove directory {path}"),
            Self::RemoveTree(_) => writeln!(f, "remove {path} and all that is in it"),
            Self::Restart(unit) => writeln!(f, "restart {unit}"),
        }
    }
}

fn diff(f: &mut fmt::Formatter<'_>, path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> fmt::Result {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let name = |bytes: Option<&[u8]>| if bytes.is_some() { path.display().to_string() } else { "/dev/null".into() };
    let (old, new) = (text(before), text(after));
    let diff = TextDiff::from_lines(&old, &new);
    write!(f, "{}", diff.unified_diff().header(&name(before), &name(after)))
}
