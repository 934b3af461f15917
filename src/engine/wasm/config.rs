//! WasmEdge's configuration for guests.

use wasmedge_sys::ffi;

/// Size of a WebAssembly page, in bytes.
const PAGE: u64 = 64 * 1024;

/// What a module without a limit may take, in bytes: all that a 32-bit linear memory can hold, and a quarter of that.
const UNLIMITED: u64 = 5 << 30;

/// Private memory of a container's init before its module grows, in bytes: 2 MB measured, and as much again for what
/// the sandbox's construction leaves in the cgroup.
const PROCESS_MEMORY: u64 = 4 << 20;

/// Page tables take one part in 512 of what they map, and the kernel charges them in whole pages.
const PAGE_TABLE_SHARE: u64 = 128;

/// Bounds on what a guest may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The container's memory limit, in bytes. `memory.grow` fails above it, before the kernel kills.
    pub memory: Option<u64>,
}

impl Limits {
    /// What the module may take, in bytes: its linear memories, and the engine for itself. The rest of what the kernel
    /// charges to the container, its processes' own memory and page tables, is estimated.
    pub fn data(&self) -> u64 {
        let Some(limit) = self.memory else { return UNLIMITED };
        limit.saturating_sub(PROCESS_MEMORY + limit / PAGE_TABLE_SHARE).clamp(PAGE, UNLIMITED)
    }
}

/// Owns a `WasmEdge_ConfigureContext`.
pub struct Config(*mut ffi::WasmEdge_ConfigureContext);

impl Config {
    /// The standard proposals, without those that WasmEdge 0.17.1 implements with out-of-bounds writes (exception
    /// handling, 64-bit memories); interpreter mode, in which native code that a module carries is not looked at.
    pub fn new() -> Self {
        // SAFETY: the context is ours from creation to drop; the setters have no other requirement.
        unsafe {
            let config = ffi::WasmEdge_ConfigureCreate();
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_ExceptionHandling);
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_Memory64);
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_Component);
            ffi::WasmEdge_ConfigureSetRunMode(config, ffi::WasmEdge_RunMode_Interpreter);
            Self(config)
        }
    }

    /// The same for native code that our own compiler wrote.
    pub fn native() -> Self {
        let config = Self::new();
        // SAFETY: as in `new`.
        unsafe { ffi::WasmEdge_ConfigureSetRunMode(config.0, ffi::WasmEdge_RunMode_AOT) };
        config
    }

    /// The context, valid as long as `self`.
    pub fn as_ptr(&self) -> *mut ffi::WasmEdge_ConfigureContext {
        self.0
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
        let data = |memory| Limits { memory }.data();
        assert_eq!(data(None), UNLIMITED);
        assert_eq!(data(Some(32 << 20)), (28 << 20) - (1 << 18));
        assert_eq!(data(Some(100)), PAGE);
        assert_eq!(data(Some(u64::MAX)), UNLIMITED);
    }
}
