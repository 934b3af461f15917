//! WasmEdge's ahead-of-time compiler. It parses what it is given with all of LLVM behind it: to be called in a process
//! that has nothing to lose, see `aot`.

use std::{ffi::CString, os::unix::ffi::OsStrExt, path::Path};

use wasmedge_shim_protocol::Optimization;
use wasmedge_sys::ffi;

use super::{
    config::{Config, Features},
    diagnostics, loader,
};

fn level(optimization: Optimization) -> ffi::WasmEdge_CompilerOptimizationLevel {
    match optimization {
        Optimization::O0 => ffi::WasmEdge_CompilerOptimizationLevel_O0,
        Optimization::O1 => ffi::WasmEdge_CompilerOptimizationLevel_O1,
        Optimization::O2 => ffi::WasmEdge_CompilerOptimizationLevel_O2,
        Optimization::O3 => ffi::WasmEdge_CompilerOptimizationLevel_O3,
        Optimization::Os => ffi::WasmEdge_CompilerOptimizationLevel_Os,
        Optimization::Oz => ffi::WasmEdge_CompilerOptimizationLevel_Oz,
    }
}

/// Compiles `module` into a shared library at `output`, to be loaded with the same `features`.
///
/// # Errors
/// One line that names the cause.
pub fn compile(module: &[u8], features: Features, optimization: Optimization, output: &Path) -> Result<(), String> {
    diagnostics::install();
    loader::refuse_what_is_no_module(module, features)?;
    let size = u32::try_from(module.len()).map_err(|_| "it is larger than 4 GiB".to_owned())?;
    let output = CString::new(output.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let config = Config::new(features);
    diagnostics::clear();
    // SAFETY: the compiler reads the bytes and the path during the call only; each context is deleted once.
    let result = unsafe {
        ffi::WasmEdge_ConfigureCompilerSetOptimizationLevel(config.as_ptr(), level(optimization));
        ffi::WasmEdge_ConfigureCompilerSetOutputFormat(config.as_ptr(), ffi::WasmEdge_CompilerOutputFormat_Native);
        let compiler = ffi::WasmEdge_CompilerCreate(config.as_ptr());
        let result =
            ffi::WasmEdge_CompilerCompileFromBuffer(compiler, module.as_ptr(), u64::from(size), output.as_ptr());
        ffi::WasmEdge_CompilerDelete(compiler);
        result
    };
    loader::check(result)
}
