//! What is wanted of WasmEdge, beside native code.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Proposals, Signals};

/// What a runtime's containers have of WasmEdge's abilities. A container may ask for less, and for more only of what
/// is said to be optional here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// Most that a program may do, in units of gas: one per WebAssembly instruction.
    pub gas_limit: Option<u64>,
    /// Longest time that a program may take, in milliseconds.
    pub time_limit_millis: Option<u64>,
    /// Most linear memory that a program may have, in WebAssembly pages of 64 KiB.
    pub memory_pages: Option<u64>,
    /// Whether a program's end is told with what it did.
    pub statistics: bool,
    /// The proposals that are on.
    pub proposals: Proposals,
    /// Those that a container may turn on.
    pub optional_proposals: Proposals,
    /// The signals that programs read, instead of being ended by them.
    pub signals: Signals,
    /// Whether programs may listen on a port together (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: bool,
    /// A directory of the container for core dumps.
    pub core_dump: Option<PathBuf>,
    /// Most memory that a core dump has, in MiB.
    pub core_dump_mib: u32,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            gas_limit: None,
            time_limit_millis: None,
            memory_pages: None,
            statistics: false,
            proposals: Proposals::default(),
            optional_proposals: Proposals::NONE,
            signals: Signals::default(),
            reuse_port: false,
            core_dump: None,
            core_dump_mib: 64,
        }
    }
}
