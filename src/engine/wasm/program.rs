//! A loaded module: checked when the container is created, run when it is started.

use std::ffi::CStr;

use wasmedge_sys::ffi;

use super::{
    config::{Config, Limits},
    diagnostics,
    names::{text, view},
    sections::{Kind, carries_native_code, classify, has_64_bit_memory, initial_memory},
    wasi::{Wasi, World},
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The entry function returned (0) or the guest called `proc_exit`.
    Exited(u32),
    /// The guest trapped; one line tells how.
    Trapped(String),
}

/// A module that was loaded, validated and found to have all it needs.
pub struct Program {
    config: Config,
    module: *mut ffi::WasmEdge_ASTModuleContext,
    function: String,
}

impl Program {
    /// Loads `bytes` and checks what can be checked without running any of its code: it is a valid module, its
    /// imports exist, it exports `function`, which takes no parameters.
    ///
    /// # Errors
    /// One line that names the cause.
    pub fn load(bytes: &[u8], function: &str, limits: &Limits) -> Result<Self, String> {
        refuse_what_is_no_module(bytes)?;
        Self::check(Config::new(), function, initial_memory(bytes), limits, |config| parse(config, bytes))
    }

    /// The same from a shared library that our own compiler made of `bytes`, at `path`. It is linked into this process,
    /// which must have no more rights than the guest.
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn load_native(path: &CStr, bytes: &[u8], function: &str, limits: &Limits) -> Result<Self, String> {
        Self::check(Config::native(), function, initial_memory(bytes), limits, |config| parse_file(config, path))
    }

    fn check(
        config: Config,
        function: &str,
        needed: u64,
        limits: &Limits,
        parse: impl FnOnce(&Config) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String>,
    ) -> Result<Self, String> {
        diagnostics::install();
        let before = heap_in_use();
        let module = parse(&config)?;
        let bound = limits.data().saturating_sub(heap_in_use().saturating_sub(before));
        if needed > bound {
            return Err(format!(
                "it needs {} MiB of memory to start with, the container's limit leaves {} MiB",
                needed >> 20,
                bound >> 20
            ));
        }
        let program = Self { module, function: function.to_owned(), config };
        program.validate()?;
        program.check_imports()?;
        program.check_function()?;
        Ok(program)
    }

    fn validate(&self) -> Result<(), String> {
        diagnostics::clear();
        // SAFETY: the contexts live through the calls; the validator is deleted once.
        let result = unsafe {
            let validator = ffi::WasmEdge_ValidatorCreate(self.config.as_ptr());
            let result = ffi::WasmEdge_ValidatorValidate(validator, self.module);
            ffi::WasmEdge_ValidatorDelete(validator);
            result
        };
        check(result)
    }

    fn check_imports(&self) -> Result<(), String> {
        let wasi = Wasi::new(&World::default())?;
        // SAFETY: the list is filled up to the length given; its entries belong to the module.
        unsafe {
            let mut imports = vec![std::ptr::null(); ffi::WasmEdge_ASTModuleListImportsLength(self.module) as usize];
            ffi::WasmEdge_ASTModuleListImports(self.module, imports.as_mut_ptr(), imports.len() as u32);
            for import in imports {
                let module = text(ffi::WasmEdge_ImportTypeGetModuleName(import));
                let name = text(ffi::WasmEdge_ImportTypeGetExternalName(import));
                let known = matches!(&*module, "wasi_snapshot_preview1" | "wasi_unstable")
                    && ffi::WasmEdge_ImportTypeGetExternalType(import) == ffi::WasmEdge_ExternalType_Function
                    && wasi.has_function(&name);
                if !known {
                    return Err(format!("it imports \"{name}\" from \"{module}\", which does not exist here"));
                }
            }
        }
        Ok(())
    }

    fn check_function(&self) -> Result<(), String> {
        let function = &self.function;
        // SAFETY: as in `check_imports`.
        unsafe {
            let mut exports = vec![std::ptr::null(); ffi::WasmEdge_ASTModuleListExportsLength(self.module) as usize];
            ffi::WasmEdge_ASTModuleListExports(self.module, exports.as_mut_ptr(), exports.len() as u32);
            let export = exports
                .into_iter()
                .find(|export| text(ffi::WasmEdge_ExportTypeGetExternalName(*export)) == *function)
                .ok_or_else(|| format!("it exports no function \"{function}\""))?;
            if ffi::WasmEdge_ExportTypeGetExternalType(export) != ffi::WasmEdge_ExternalType_Function {
                return Err(format!("its export \"{function}\" is no function"));
            }
            let signature = ffi::WasmEdge_ExportTypeGetFunctionType(self.module, export);
            match ffi::WasmEdge_FunctionTypeGetParametersLength(signature) {
                0 => Ok(()),
                n => Err(format!("its function \"{function}\" takes {n} parameter(s), an entry function takes none")),
            }
        }
    }

    /// Runs the entry function to its end.
    pub fn run(self, world: &World) -> Ending {
        diagnostics::clear();
        let wasi = match Wasi::new(world) {
            Ok(wasi) => wasi,
            Err(cause) => return Ending::Trapped(cause),
        };
        // SAFETY: all contexts were made here or in `load` and live until the process ends. An entry function has no
        // parameters, and room for its results is given.
        unsafe {
            let store = ffi::WasmEdge_StoreCreate();
            let executor = ffi::WasmEdge_ExecutorCreate(self.config.as_ptr(), std::ptr::null_mut());
            let mut result = ffi::WasmEdge_ExecutorRegisterImport(executor, store, wasi.as_ptr());
            let mut instance = std::ptr::null_mut();
            if ffi::WasmEdge_ResultOK(result) {
                result = ffi::WasmEdge_ExecutorInstantiate(executor, &raw mut instance, store, self.module);
            }
            if ffi::WasmEdge_ResultOK(result) {
                let function = ffi::WasmEdge_ModuleInstanceFindFunction(instance, view(&self.function));
                let signature = ffi::WasmEdge_FunctionInstanceGetFunctionType(function);
                let results = ffi::WasmEdge_FunctionTypeGetReturnsLength(signature);
                let mut returns = Vec::<ffi::WasmEdge_Value>::with_capacity(results as usize);
                result = ffi::WasmEdge_ExecutorInvoke(
                    executor,
                    function,
                    std::ptr::null(),
                    0,
                    returns.as_mut_ptr(),
                    results,
                );
            }
            ending(result, &wasi)
        }
    }
}

fn ending(result: ffi::WasmEdge_Result, wasi: &Wasi) -> Ending {
    // SAFETY: the calls look at the result only.
    unsafe {
        let terminated = ffi::WasmEdge_ResultGetCategory(result) == ffi::WasmEdge_ErrCategory_WASM
            && ffi::WasmEdge_ResultGetCode(result) == ffi::WasmEdge_ErrCode_Terminated;
        if terminated || ffi::WasmEdge_ResultOK(result) {
            return Ending::Exited(wasi.exit_code());
        }
    }
    Ending::Trapped(diagnostics::explain(result))
}

/// Whether `bytes` are a module that may be loaded: the causes that deserve better words than "magic header not detected".
pub(super) fn refuse_what_is_no_module(bytes: &[u8]) -> Result<(), String> {
    match classify(bytes) {
        Kind::Module if carries_native_code(bytes) => {
            Err("it carries native code (a custom section \"wasmedge\"), which is not accepted from an image".into())
        }
        Kind::Module if has_64_bit_memory(bytes) => {
            Err("it has a 64-bit memory (the memory64 proposal), which is not supported".into())
        }
        Kind::Module => Ok(()),
        Kind::Component => Err("it is a WebAssembly component; only modules (wasm32-wasip1) can be run".into()),
        Kind::UnknownVersion(version) => Err(format!("it is WebAssembly of version {version}, only 1 is known")),
        Kind::Other => Err("it is not a WebAssembly module".into()),
    }
}

fn parse(config: &Config, bytes: &[u8]) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String> {
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

fn parse_file(config: &Config, path: &CStr) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String> {
    diagnostics::clear();
    let mut module = std::ptr::null_mut();
    // SAFETY: the loader reads the path during the call only.
    let result = unsafe {
        let loader = ffi::WasmEdge_LoaderCreate(config.as_ptr());
        let result = ffi::WasmEdge_LoaderParseFromFile(loader, &raw mut module, path.as_ptr());
        ffi::WasmEdge_LoaderDelete(loader);
        result
    };
    check(result)?;
    Ok(module)
}

/// Bytes that this process has allocated.
fn heap_in_use() -> u64 {
    // SAFETY: reads the allocator's counters.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

pub(super) fn check(result: ffi::WasmEdge_Result) -> Result<(), String> {
    // SAFETY: looks at the value only.
    if unsafe { ffi::WasmEdge_ResultOK(result) } { Ok(()) } else { Err(diagnostics::explain(result)) }
}
