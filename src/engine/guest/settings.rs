//! What the programs of one container have of WasmEdge's abilities, once its options and annotations are read.

use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::{Plugins, Preopen, Proposals, Signals};

use super::CoreDumps;
use crate::wasm::{Features, Limits};

/// Every module that is run in the container has these, each counted from its own start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Most gas.
    pub gas_limit: Option<u64>,
    /// Longest time, in milliseconds.
    pub time_limit_millis: Option<u64>,
    /// Most linear memory, in pages of 64 KiB.
    pub memory_pages: Option<u64>,
    /// Whether its end is told with what it did.
    pub statistics: bool,
    /// The proposals that are on.
    pub proposals: Proposals,
    /// The directories that are open; `None` for the usual ones.
    pub preopens: Option<Vec<Preopen>>,
    /// The signals that it reads, instead of being ended by them.
    pub signals: Signals,
    /// Whether its sockets share their ports (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Where core dumps go; `None` for no dumps.
    pub core_dumps: Option<CoreDumps>,
    /// The plugins that are loaded.
    pub plugins: Plugins,
}

impl Settings {
    /// Whether nothing was asked for.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }

    /// What modules are loaded and compiled with.
    pub fn features(&self) -> Features {
        Features { proposals: self.proposals, counted: self.statistics || self.gas_limit.is_some() }
    }

    /// `limits` and those of these settings.
    pub fn limits(&self, limits: &Limits) -> Limits {
        Limits { pages: self.memory_pages, gas: self.gas_limit, ..limits.clone() }
    }
}
