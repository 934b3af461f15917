//! WasmEdge's ahead-of-time compiler. It parses what it is given with all of LLVM behind it: to be called in a process
//! that has nothing to lose, see `compile`.

use std::{ffi::CString, os::unix::ffi::OsStrExt, path::Path};

use wasmedge_sys::ffi;

use super::{config::Config, diagnostics, program};

/// How much work goes into the native code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimization {
    /// None: compiles fastest.
    O0,
    /// Some.
    O1,
    /// The usual.
    O2,
    /// All.
    O3,
    /// Small.
    Os,
    /// Smallest.
    Oz,
}

impl Optimization {
    /// From the letter after `-O`.
    pub fn from_letter(letter: &str) -> Option<Self> {
        Some(match letter {
            "0" => Self::O0,
            "1" => Self::O1,
            "2" => Self::O2,
            "3" => Self::O3,
            "s" => Self::Os,
            "z" => Self::Oz,
            _ => return None,
        })
    }

    fn level(self) -> ffi::WasmEdge_CompilerOptimizationLevel {
        match self {
            Self::O0 => ffi::WasmEdge_CompilerOptimizationLevel_O0,
            Self::O1 => ffi::WasmEdge_CompilerOptimizationLevel_O1,
            Self::O2 => ffi::WasmEdge_CompilerOptimizationLevel_O2,
            Self::O3 => ffi::WasmEdge_CompilerOptimizationLevel_O3,
            Self::Os => ffi::WasmEdge_CompilerOptimizationLevel_Os,
            Self::Oz => ffi::WasmEdge_CompilerOptimizationLevel_Oz,
        }
    }
}

/// Compiles `module` into a shared library at `output`.
///
/// # Errors
/// One line that names the cause.
pub fn compile(module: &[u8], optimization: Optimization, output: &Path) -> Result<(), String> {
    diagnostics::install();
    program::refuse_what_is_no_module(module)?;
    let size = u32::try_from(module.len()).map_err(|_| "it is larger than 4 GiB".to_owned())?;
    let output = CString::new(output.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    let config = Config::new();
    diagnostics::clear();
    // SAFETY: the compiler reads the bytes and the path during the call only; each context is deleted once.
    let result = unsafe {
        ffi::WasmEdge_ConfigureCompilerSetOptimizationLevel(config.as_ptr(), optimization.level());
        ffi::WasmEdge_ConfigureCompilerSetOutputFormat(config.as_ptr(), ffi::WasmEdge_CompilerOutputFormat_Native);
        let compiler = ffi::WasmEdge_CompilerCreate(config.as_ptr());
        let result =
            ffi::WasmEdge_CompilerCompileFromBuffer(compiler, module.as_ptr(), u64::from(size), output.as_ptr());
        ffi::WasmEdge_CompilerDelete(compiler);
        result
    };
    program::check(result)
}
