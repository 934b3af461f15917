//! What native code is found by.

use sha2::{Digest, Sha256};
use wasmedge_shim_protocol::{Optimization, Proposals};

use super::identity;
use crate::wasm::Features;

/// A module and the engine that it is compiled for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The digits of [`identity::engine`].
    pub engine: String,
    /// SHA-256 in hexadecimal digits.
    pub module: String,
    /// What it is compiled with.
    pub features: Features,
}

impl Key {
    /// Of a module for this engine, with these features.
    pub fn of(module: &[u8], features: Features) -> Self {
        Self::with_digest(identity::hex(&Sha256::digest(module)), features)
    }

    /// The same of the module with this SHA-256, in hexadecimal digits.
    pub fn with_digest(module: String, features: Features) -> Self {
        Self { engine: identity::engine().to_owned(), module, features }
    }

    /// The same in one word.
    pub fn name(&self) -> String {
        format!("{}-{}{}", self.engine, self.module, self.variant())
    }

    /// What tells it from the same module with other features; nothing with the usual ones.
    fn variant(&self) -> String {
        let Features { proposals, counted } = self.features;
        let counted = if counted { "-counted" } else { "" };
        let proposals = if proposals == Proposals::default() { String::new() } else { format!("-p{proposals}") };
        format!("{counted}{proposals}")
    }

    /// Its native code's name, without an extension.
    pub fn at(&self, level: Optimization) -> String {
        format!("{}{}-{level}", self.module, self.variant())
    }
}
