//! What a payload consists of.

use serde::{Deserialize, Serialize};

/// The engine's file name.
pub const ENGINE: &str = "wasmedge-engine";

/// The file name of the dynamic linker.
pub const LINKER: &str = "ld.so";

/// The files of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// In the order in which their bytes are in the compressed part.
    pub files: Vec<Entry>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name, without a directory.
    pub name: String,
    /// Whether it is executed.
    pub executable: bool,
    /// Its size, in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

impl Manifest {
    /// The size of all files together, in bytes.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
