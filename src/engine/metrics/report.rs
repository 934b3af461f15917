//! What a host tells of itself. Neighbours of other versions read it: fields are only added, and have a default.

use serde::{Deserialize, Serialize};

use super::Counts;

/// A host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostReport {
    /// Its process id.
    pub pid: u32,
    /// The version of the engine.
    pub version: String,
    /// The version of WasmEdge.
    pub wasmedge: String,
    /// The engine's binary.
    pub engine: String,
    /// When it was started, in milliseconds since the Unix epoch.
    pub started_unix_millis: u64,
    /// Shims that are connected.
    pub shims: usize,
    /// Containers that it has made and that are not deleted.
    pub containers: usize,
    /// What its workers do at the moment.
    pub workers: Workers,
    /// How long most requests may take, in seconds.
    pub patience_seconds: u64,
    /// Where its metrics are.
    pub metrics: Vec<String>,
    /// What it has done.
    pub counts: Counts,
}

/// Workers by what they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workers {
    /// Creating a container.
    pub creating: usize,
    /// Running another program in one.
    pub executing: usize,
    /// Removing one.
    pub deleting: usize,
    /// Anything else.
    pub other: usize,
    /// Those of them that wait for a compiler.
    pub waiting: usize,
}
