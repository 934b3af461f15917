//! WasmEdge's configuration for guests.

use wasmedge_sys::ffi;

/// Size of a WebAssembly page, in bytes.
const PAGE: u64 = 64 * 1024;

/// Most pages that a 32-bit memory can have.
const MAX_PAGES: u64 = 65_536;

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
    /// Most pages of one linear memory, beside `engine` bytes that the loaded module takes in the engine. The rest of
    /// what the kernel charges to the container, its processes' own memory and page tables, is estimated.
    fn pages(&self, engine: u64) -> u64 {
        let Some(limit) = self.memory else { return MAX_PAGES };
        let charged = PROCESS_MEMORY + engine + limit / PAGE_TABLE_SHARE;
        (limit.saturating_sub(charged) / PAGE).clamp(1, MAX_PAGES)
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
            ffi::WasmEdge_ConfigureSetForceInterpreter(config, true);
            Self(config)
        }
    }

    /// Bounds the linear memories of instances made from now on; `engine` is what the module itself takes, in bytes.
    /// Returns the bound, in bytes.
    pub fn limit(&self, limits: &Limits, engine: u64) -> u64 {
        let pages = limits.pages(engine);
        // SAFETY: the context lives as long as `self`.
        unsafe { ffi::WasmEdge_ConfigureSetMaxMemoryPage(self.0, pages) };
        pages * PAGE
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
    fn the_memory_bound_is_whole_pages_within_the_32_bit_range() {
        let pages = |memory, engine| Limits { memory }.pages(engine);
        assert_eq!(pages(None, 1 << 30), 65_536);
        assert_eq!(pages(Some(32 << 20), 0), (28 * 16) - 4);
        assert_eq!(pages(Some(32 << 20), 8 << 20), (20 * 16) - 4);
        assert_eq!(pages(Some(100), 0), 1);
        assert_eq!(pages(Some(u64::MAX), 0), 65_536);
    }
}
