//! From bytes, or from the shared library that our own compiler made of them, to a module of the engine's.

use std::os::fd::BorrowedFd;

use wasmedge_shim_protocol::Proposal;
use wasmedge_sys::ffi;

use super::{
    config::{Config, Features, Limits, PAGE},
    diagnostics, dynamic_linker,
    sections::{Kind, carries_native_code, classify, has_64_bit_memory, has_shared_memory},
};

/// Whether a module fits that takes `needed` bytes to be interpreted.
///
/// # Errors
/// Says what it takes, before the kernel kills for it.
pub fn check_interpreted(needed: u64, limits: &Limits) -> Result<(), String> {
    if needed > limits.room() { Err(too_large(needed, limits.room())) } else { Ok(()) }
}

/// That a module cannot be interpreted which takes `needed` bytes for that where there is `room` for less.
pub fn too_large(needed: u64, room: u64) -> String {
    let (needed, room) = (needed >> 20, room >> 20);
    format!("interpreting it takes about {needed} MiB of memory, the container's limit leaves {room} MiB")
}

/// Whether a module that starts with `needed` bytes of linear memory fits, of which `loading` took some.
pub fn check_memory(needed: u64, limits: &Limits, loading: u64) -> Result<(), String> {
    let bound = limits.data().saturating_sub(loading);
    if needed > bound {
        return Err(format!(
            "it needs {} MiB of memory to start with, the container's limit leaves {} MiB",
            needed >> 20,
            bound >> 20
        ));
    }
    match limits.pages {
        Some(pages) if needed / PAGE > pages => {
            Err(format!("it needs {} pages of memory to start with, it may have {pages}", needed / PAGE))
        }
        _ => Ok(()),
    }
}

/// Whether `bytes` are a module that may be loaded: the causes that deserve better words than "magic header not detected".
pub fn refuse_what_is_no_module(bytes: &[u8], features: Features) -> Result<(), String> {
    match classify(bytes) {
        Kind::Module if carries_native_code(bytes) => {
            Err("it carries native code (a custom section \"wasmedge\"), which is not accepted from an image".into())
        }
        Kind::Module if has_64_bit_memory(bytes) && !features.proposals.has(Proposal::Memory64) => {
            Err("it has a 64-bit memory, and the proposal memory64 is off".into())
        }
        Kind::Module if has_shared_memory(bytes) && !features.proposals.has(Proposal::Threads) => {
            Err("it is built for threads (its memory is shared), and the proposal threads is off".into())
        }
        Kind::Module => Ok(()),
        Kind::Component => Err("it is a WebAssembly component; only modules (wasm32-wasip1) can be run".into()),
        Kind::UnknownVersion(version) => Err(format!("it is WebAssembly of version {version}, only 1 is known")),
        Kind::Other => Err("it is not a WebAssembly module".into()),
    }
}

/// A module from the bytes of a WebAssembly file.
pub fn parse(config: &Config, bytes: &[u8]) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String> {
    let size = u32::try_from(bytes.len()).map_err(|_| "it is larger than 4 GiB".to_owned())?;
    diagnostics::clear();
    let mut module = std::ptr::null_mut();
    // SAFETY: the loader reads `size` bytes during the call only.
    let result = unsafe {
        let loader = ffi::WasmEdge_LoaderCreate(config.as_ptr());
        let result = ffi::WasmEdge_LoaderParseFromBuffer(loader, &raw mut module, bytes.as_ptr(), size);
        ffi::WasmEdge_LoaderDelete(loader);
        result
    };
    check(result)?;
    Ok(module)
}

/// A module from the shared library in `file`, which is mapped into this process.
pub fn parse_native(config: &Config, file: BorrowedFd<'_>) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String> {
    diagnostics::clear();
    let mut module = std::ptr::null_mut();
    // SAFETY: the loader reads the path during the call only.
    let result = dynamic_linker::with_library(file, || unsafe {
        let loader = ffi::WasmEdge_LoaderCreate(config.as_ptr());
        let result = ffi::WasmEdge_LoaderParseFromFile(loader, &raw mut module, dynamic_linker::PATH.as_ptr());
        ffi::WasmEdge_LoaderDelete(loader);
        result
    });
    check(result)?;
    Ok(module)
}

/// Bytes that this process has allocated.
pub fn heap_in_use() -> u64 {
    // SAFETY: reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// The cause of a failure in one line.
pub fn check(result: ffi::WasmEdge_Result) -> Result<(), String> {
    // SAFETY: looks at the value only.
    if unsafe { ffi::WasmEdge_ResultOK(result) } { Ok(()) } else { Err(diagnostics::explain(result)) }
}
