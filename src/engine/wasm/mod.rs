//! WasmEdge, as far as a container needs it: load a module, check that it can run, run it.
//!
//! The C API is called directly: the SDK's `Executor` hooks every host call with two `sigprocmask` calls, its `Store`
//! cannot carry statistics, and neither tells the cause of a failure, which WasmEdge gives to its log only.

mod compiler;
mod config;
mod core_dump;
mod diagnostics;
mod direct;
mod dynamic_linker;
mod entry;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
pub mod gauges;
mod imports;
mod indirect;
mod intrinsics;
mod loader;
mod names;
mod native_library;
#[cfg(test)]
mod native_test;
#[cfg(any(feature = "fuzzing", test))]
pub mod observe;
mod outline;
mod plugins;
mod program;
mod sections;
mod statistics;
mod trampoline;
mod wasi;
mod world;

pub use compiler::compile;
pub use config::{Features, Limits, PAGE, UNLIMITED};
pub use core_dump::CoreDump;
pub use dynamic_linker::release_native_pages;
pub use entry::Invocation;
pub use loader::too_large;
pub use native_library::page_size;
pub use outline::{initial_memory_in, interpreted_size_in, most_interpreted_size};
pub use plugins::{load as load_plugin, preload_models};
pub use program::{Ending, Program};
pub use sections::{Kind, classify, code_size};
pub use statistics::counters;
pub use wasmedge_shim_wasi::Reach;
pub use world::{Directory, Handed, World, open_directory};

use wasmedge_sys::ffi;

/// Loads the library's lazily made parts once, so that every fork of this process finds them.
pub fn warm_up() {
    diagnostics::install();
    // The smallest module with a start function: magic, version, one type, one function, one export, one body.
    const HELLO: &[u8] =
        b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\x0a\x04\x01\x02\0\x0b";
    let warmed =
        Program::load(HELLO, &Invocation::default(), &Limits::default(), Features::default()).and_then(|program| {
            match program.run(&World::default(), None, |_| {}) {
                Ending::Returned(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
    if let Err(cause) = warmed {
        log::warn!("WasmEdge did not run the built-in module: {cause}");
    }
}

/// WasmEdge's version, such as `0.17.1`.
pub fn version() -> String {
    // SAFETY: returns a static, NUL-terminated string.
    unsafe { std::ffi::CStr::from_ptr(ffi::WasmEdge_VersionGet()) }.to_string_lossy().into_owned()
}
