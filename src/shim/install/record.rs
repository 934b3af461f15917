//! What `install` has made, for `uninstall` to know: kept in a file beside the runtime's other state.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{class::ClassOptions, root::Root};

/// The directory of what the runtime keeps on disk.
pub const STATE: &str = "/var/lib/containerd-shim-wasmedge";

/// What was made. A file that was begun may not be there yet: the record is written first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// What was configured: a configuration, and whose it is.
    pub targets: BTreeMap<PathBuf, String>,
    /// Files and directories that were not there before.
    pub made: BTreeSet<PathBuf>,
    /// Texts of our own, by file: what differs was changed by somebody else.
    pub written: BTreeMap<PathBuf, BTreeSet<String>>,
    /// What a file had before it was changed.
    pub originals: BTreeMap<PathBuf, String>,
    /// The options of the runtime class, for later runs.
    pub class: ClassOptions,
}

impl Record {
    /// Where it is.
    pub fn path() -> PathBuf {
        Path::new(STATE).join("install.json")
    }

    /// What was made so far.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(root: &Root) -> Result<Self> {
        let path = Self::path();
        let Some(text) = root.text(&path)? else { return Ok(Self::default()) };
        let damaged = || format!("{} is damaged: remove it, and what it names by hand", path.display());
        serde_json::from_str(&text).with_context(damaged)
    }

    /// As it is kept.
    pub fn to_text(&self) -> String {
        // Strings in maps can always be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether `text` at `path` is what `install` has written there.
    pub fn wrote(&self, path: &Path, text: &str) -> bool {
        self.written.get(path).is_some_and(|texts| texts.contains(text))
    }
}
