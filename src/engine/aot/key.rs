//! What native code is found by.

use sha2::{Digest, Sha256};

use super::identity;

/// A module and the engine that it is compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The digits of [`identity::engine`].
    pub engine: String,
    /// SHA-256 in hexadecimal digits.
    pub module: String,
}

impl Key {
    /// Of a module for this engine.
    pub fn of(module: &[u8]) -> Self {
        Self::with_digest(identity::hex(&Sha256::digest(module)))
    }

    /// Of the module with this SHA-256, in hexadecimal digits, for this engine.
    pub fn with_digest(module: String) -> Self {
        Self { engine: identity::engine().to_owned(), module }
    }

    /// The same in one word.
    pub fn name(&self) -> String {
        format!("{}-{}", self.engine, self.module)
    }
}
