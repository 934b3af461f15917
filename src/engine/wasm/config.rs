//! WasmEdge's configuration for guests.

use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::{Proposal, Proposals};
use wasmedge_sys::ffi;

/// Size of a WebAssembly page, in bytes.
pub const PAGE: u64 = 64 * 1024;

/// What a module without a limit may take, in bytes: all that a 32-bit linear memory can hold, and a quarter of that.
pub const UNLIMITED: u64 = 5 << 30;

/// Private memory of a container's init before its module grows, in bytes: 2 MB measured, and as much again for what
/// the sandbox's construction leaves in the cgroup.
const PROCESS_MEMORY: u64 = 4 << 20;

/// Page tables take one part in 512 of what they map. Four times as much is set aside for them, since the kernel charges whole
/// pages.
const PAGE_TABLE_SHARE: u64 = 128;

/// Bounds on what a guest may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The container's memory limit, in bytes. `memory.grow` fails above it, before the kernel kills.
    pub memory: Option<u64>,
    /// Most linear memory, in pages of 64 KiB.
    pub pages: Option<u64>,
    /// Most gas.
    pub gas: Option<u64>,
}

/// What a module is loaded, validated and compiled with. Native code is for one choice of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// The proposals that are on.
    pub proposals: Proposals,
    /// Whether instructions and gas are counted. Native code that counts must be run with counters.
    pub counted: bool,
}

impl Limits {
    /// What the module may take, in bytes: its linear memories, and the engine for itself. The rest of what the kernel
    /// charges to the container, its processes' own memory and page tables, is estimated.
    pub fn data(&self) -> u64 {
        let Some(limit) = self.memory else { return UNLIMITED };
        limit.saturating_sub(PROCESS_MEMORY + limit / PAGE_TABLE_SHARE).clamp(PAGE, UNLIMITED)
    }

    /// What the container's limit leaves for it, in bytes; all there is where it has none.
    pub fn room(&self) -> u64 {
        self.memory.map_or(u64::MAX, |_| self.data())
    }

    /// The container's memory limit, in bytes, that leaves a module `data` bytes.
    pub fn with_data(data: u64) -> u64 {
        let process = data.saturating_add(PROCESS_MEMORY);
        process.saturating_add(process / (PAGE_TABLE_SHARE - 1))
    }
}

/// Owns a `WasmEdge_ConfigureContext`.
pub struct Config(*mut ffi::WasmEdge_ConfigureContext);

impl Config {
    /// With these features; interpreter mode, in which native code that a module carries is not looked at.
    pub fn new(features: Features) -> Self {
        // SAFETY: the context is ours from creation to drop; the setters have no other requirement.
        unsafe {
            let config = ffi::WasmEdge_ConfigureCreate();
            // What builds on another goes first: WasmEdge keeps what another needs.
            for proposal in Proposal::ALL.into_iter().rev() {
                if features.proposals.has(proposal) {
                    ffi::WasmEdge_ConfigureAddProposal(config, number(proposal));
                } else {
                    ffi::WasmEdge_ConfigureRemoveProposal(config, number(proposal));
                }
            }
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_Component);
            if features.counted {
                ffi::WasmEdge_ConfigureStatisticsSetInstructionCounting(config, true);
                ffi::WasmEdge_ConfigureStatisticsSetCostMeasuring(config, true);
            }
            ffi::WasmEdge_ConfigureSetRunMode(config, ffi::WasmEdge_RunMode_Interpreter);
            Self(config)
        }
    }

    /// The same for native code that our own compiler wrote.
    pub fn native(features: Features) -> Self {
        let config = Self::new(features);
        // SAFETY: as in `new`.
        unsafe { ffi::WasmEdge_ConfigureSetRunMode(config.0, ffi::WasmEdge_RunMode_AOT) };
        config
    }

    /// The context, valid as long as `self`.
    pub fn as_ptr(&self) -> *mut ffi::WasmEdge_ConfigureContext {
        self.0
    }
}

fn number(proposal: Proposal) -> ffi::WasmEdge_Proposal {
    match proposal {
        Proposal::MutableGlobals => ffi::WasmEdge_Proposal_ImportExportMutGlobals,
        Proposal::NonTrapFloatToInt => ffi::WasmEdge_Proposal_NonTrapFloatToIntConversions,
        Proposal::SignExtension => ffi::WasmEdge_Proposal_SignExtensionOperators,
        Proposal::MultiValue => ffi::WasmEdge_Proposal_MultiValue,
        Proposal::BulkMemory => ffi::WasmEdge_Proposal_BulkMemoryOperations,
        Proposal::ReferenceTypes => ffi::WasmEdge_Proposal_ReferenceTypes,
        Proposal::Simd => ffi::WasmEdge_Proposal_SIMD,
        Proposal::TailCall => ffi::WasmEdge_Proposal_TailCall,
        Proposal::ExtendedConst => ffi::WasmEdge_Proposal_ExtendedConst,
        Proposal::FunctionReferences => ffi::WasmEdge_Proposal_FunctionReferences,
        Proposal::Gc => ffi::WasmEdge_Proposal_GC,
        Proposal::MultiMemory => ffi::WasmEdge_Proposal_MultiMemories,
        Proposal::RelaxedSimd => ffi::WasmEdge_Proposal_RelaxSIMD,
        Proposal::ExceptionHandling => ffi::WasmEdge_Proposal_ExceptionHandling,
        Proposal::Memory64 => ffi::WasmEdge_Proposal_Memory64,
        Proposal::Threads => ffi::WasmEdge_Proposal_Threads,
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: created in `new`, deleted once.
        unsafe { ffi::WasmEdge_ConfigureDelete(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_may_take_what_the_container_s_limit_leaves() {
        let data = |memory| Limits { memory, ..Limits::default() }.data();
        assert_eq!(data(None), UNLIMITED);
        assert_eq!(data(Some(32 << 20)), (28 << 20) - (1 << 18));
        assert_eq!(data(Some(100)), PAGE);
        assert_eq!(data(Some(u64::MAX)), UNLIMITED);
    }

    #[test]
    fn the_container_s_limit_is_known_by_what_it_leaves() {
        for mib in [6, 32, 100, 128, 1000, 4096_u64] {
            let limits = Limits { memory: Some(mib << 20), ..Limits::default() };
            let (found, right) = (Limits::with_data(limits.data()), mib << 20);
            assert!(found <= right && right - found <= 2, "{mib}: {found}");
        }
    }

    /// The proposals that `config` has on.
    fn proposals(config: *const ffi::WasmEdge_ConfigureContext) -> Proposals {
        // SAFETY: looks at the context.
        let on = |one: &Proposal| unsafe { ffi::WasmEdge_ConfigureHasProposal(config, number(*one)) };
        Proposal::ALL.into_iter().filter(on).fold(Proposals::NONE, Proposals::with)
    }

    #[test]
    fn what_is_on_by_default_is_what_the_engine_has_on_but_for_what_has_memory_errors() {
        // SAFETY: a context of its own, which is leaked.
        let own = proposals(unsafe { ffi::WasmEdge_ConfigureCreate() });
        assert_eq!(own.without(Proposal::ExceptionHandling).without(Proposal::Memory64), Proposals::default(),);
    }

    #[test]
    fn the_engine_has_on_what_was_chosen_and_nothing_else() {
        for change in
            ["+memory64", "-reference-types", "-gc", "-simd", "+threads", "+exception-handling", "-multi-value"]
        {
            let mut chosen = Proposals::default();
            chosen.change(change).unwrap();
            let config = Config::new(Features { proposals: chosen, counted: true });
            assert_eq!(proposals(config.as_ptr()), chosen, "{change}");
        }
    }
}
