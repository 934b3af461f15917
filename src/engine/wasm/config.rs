//! WasmEdge's configuration for guests.

use wasmedge_sys::ffi;

/// Size of a WebAssembly page, in bytes.
const PAGE: u64 = 64 * 1024;

/// Most pages that a 32-bit memory can have.
const MAX_PAGES: u64 = 65_536;

/// Bounds on what a guest may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// The container's memory limit, in bytes. `memory.grow` fails above it, before the kernel kills.
    pub memory: Option<u64>,
}

impl Limits {
    /// Most pages of one linear memory.
    fn pages(&self) -> u64 {
        self.memory.map_or(MAX_PAGES, |bytes| (bytes / PAGE).clamp(1, MAX_PAGES))
    }
}

/// Owns a `WasmEdge_ConfigureContext`.
pub struct Config(*mut ffi::WasmEdge_ConfigureContext);

impl Config {
    /// The standard proposals, without those that WasmEdge 0.17.1 implements with out-of-bounds writes (exception
    /// handling, 64-bit memories); interpreter mode, in which native code that a module carries is not looked at.
    pub fn new(limits: &Limits) -> Self {
        // SAFETY: the context is ours from creation to drop; the setters have no other requirement.
        unsafe {
            let config = ffi::WasmEdge_ConfigureCreate();
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_ExceptionHandling);
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_Memory64);
            ffi::WasmEdge_ConfigureRemoveProposal(config, ffi::WasmEdge_Proposal_Component);
            ffi::WasmEdge_ConfigureSetForceInterpreter(config, true);
            ffi::WasmEdge_ConfigureSetMaxMemoryPage(config, limits.pages());
            Self(config)
        }
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
        let pages = |memory| Limits { memory }.pages();
        assert_eq!(pages(None), 65_536);
        assert_eq!(pages(Some(32 * 1024 * 1024)), 512);
        assert_eq!(pages(Some(100)), 1);
        assert_eq!(pages(Some(u64::MAX)), 65_536);
    }
}
