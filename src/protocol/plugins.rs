//! WasmEdge's plugins: native code that gives modules further host functions.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Secret;

/// The plugins that containers have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    /// Directory of the node that they are in.
    pub directory: PathBuf,
    /// Their names: those of their files, without `.so`.
    pub names: Vec<String>,
    /// Environment for them: names and values.
    pub env: Vec<(String, Secret)>,
}
