//! A loaded module: checked when the container is created, run when it is started.

use std::{fs::File, os::fd::BorrowedFd};

use wasmedge_shim_wasi::preview1::{self, Type};
use wasmedge_sys::ffi;

use super::{
    config::{Config, Features, Limits, PAGE},
    core_dump::CoreDump,
    diagnostics, direct,
    entry::{self, Exports, INITIALIZE, Invocation, START},
    gauges, indirect,
    loader::{check, check_interpreted, check_memory, heap_in_use, parse, parse_native, refuse_what_is_no_module},
    names::{text, view},
    outline::{initial_memory_in, interpreted_size},
    plugins::PluginModule,
    sections::initial_memory,
    statistics,
    wasi::{self, Import, Wasi},
    world::{Handed, World},
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The entry function returned; its results, if it has some, as text.
    Returned(Vec<String>),
    /// The guest called `proc_exit`.
    Exited(u32),
    /// The guest trapped; one line tells how.
    Trapped(String),
}

/// A module that was loaded, validated and found to have all it needs.
pub struct Program {
    config: Config,
    module: *mut ffi::WasmEdge_ASTModuleContext,
    /// What to call first, if anything: a reactor's initialization.
    initialize: bool,
    function: String,
    args: Vec<ffi::WasmEdge_Value>,
    counted: bool,
    gas_limit: Option<u64>,
    plugins: Vec<PluginModule>,
    /// What it has of WASI.
    imports: Vec<Import>,
}

impl Program {
    /// Loads `bytes` and checks what can be checked without running any of its code: it is a valid module, its
    /// imports exist, it exports the function to call, which takes the arguments that are given.
    ///
    /// # Errors
    /// One line that names the cause.
    pub fn load(bytes: &[u8], invocation: &Invocation, limits: &Limits, features: Features) -> Result<Self, String> {
        refuse_what_is_no_module(bytes, features)?;
        let initial = initial_memory(bytes);
        check_memory(initial, limits, 0)?;
        check_interpreted(interpreted_size(bytes), limits)?;
        Self::check(Config::new(features), features, invocation, initial, limits, |config| parse(config, bytes))
    }

    /// The same from the shared library `native` that our own compiler made of the module in `file`, with the same `features`.
    /// It is mapped into this process, which must have no more rights than the guest. The module itself, which may be large, is
    /// not read.
    ///
    /// # Errors
    /// As those of [`Self::load`].
    pub fn load_native(
        native: BorrowedFd<'_>,
        file: &File,
        invocation: &Invocation,
        limits: &Limits,
        features: Features,
    ) -> Result<Self, String> {
        let initial = initial_memory_in(file).map_err(|error| error.to_string())?;
        let config = Config::native(features);
        Self::check(config, features, invocation, initial, limits, |config| parse_native(config, native))
    }

    fn check(
        config: Config,
        features: Features,
        invocation: &Invocation,
        initial: u64,
        limits: &Limits,
        parse: impl FnOnce(&Config) -> Result<*mut ffi::WasmEdge_ASTModuleContext, String>,
    ) -> Result<Self, String> {
        diagnostics::install();
        let before = heap_in_use();
        let module = parse(&config)?;
        check_memory(initial, limits, heap_in_use().saturating_sub(before))?;
        let mut program = Self {
            module,
            initialize: false,
            function: invocation.function.clone(),
            args: Vec::new(),
            config,
            counted: features.counted,
            gas_limit: limits.gas,
            plugins: PluginModule::all()?,
            imports: Vec::new(),
        };
        program.validate()?;
        program.check_imports()?;
        program.check_function(&invocation.args)?;
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

    fn check_imports(&mut self) -> Result<(), String> {
        // SAFETY: the list is filled up to the length given; its entries and their types belong to the module.
        unsafe {
            let mut imports = vec![std::ptr::null(); ffi::WasmEdge_ASTModuleListImportsLength(self.module) as usize];
            ffi::WasmEdge_ASTModuleListImports(self.module, imports.as_mut_ptr(), imports.len() as u32);
            let mut functions = 0;
            for import in imports {
                let index = functions;
                let kind = ffi::WasmEdge_ImportTypeGetExternalType(import);
                functions += usize::from(kind == ffi::WasmEdge_ExternalType_Function);
                let module = text(ffi::WasmEdge_ImportTypeGetModuleName(import));
                let name = text(ffi::WasmEdge_ImportTypeGetExternalName(import));
                if self.plugins.iter().any(|plugin| plugin.has(&module, &name)) {
                    continue;
                }
                let signature = wasi::signature(ffi::WasmEdge_ImportTypeGetFunctionType(self.module, import));
                self.imports.push(wasi_import(&module, &name, signature, index)?);
            }
        }
        Ok(())
    }

    fn check_function(&mut self, args: &[String]) -> Result<(), String> {
        // SAFETY: the module lives as long as `self`.
        let exports = unsafe { Exports::of(self.module) };
        let parameters = exports.parameters(&self.function)?;
        self.args = entry::arguments(&self.function, &parameters, args)?;
        let command = self.function == START || self.function == INITIALIZE;
        self.initialize = !command && exports.has(INITIALIZE);
        if self.initialize && !exports.parameters(INITIALIZE)?.is_empty() {
            return Err(format!("its function \"{INITIALIZE}\" takes parameters, which a reactor's does not"));
        }
        Ok(())
    }

    /// Runs the entry function to its end, with what else is `handed` to the guest. After a trap `post_mortem` is given what is left.
    pub fn run(self, world: &World, handed: Option<Handed>, post_mortem: impl FnOnce(&CoreDump<'_>)) -> Ending {
        diagnostics::clear();
        let wasi = match Wasi::new(world, handed, &self.imports) {
            Ok(wasi) => wasi,
            Err(cause) => return Ending::Trapped(cause),
        };
        let counters = if self.counted { statistics::start() } else { std::ptr::null_mut() };
        if !self.counted {
            // SAFETY: what the functions work on is dropped after the module has run, of which nothing runs yet.
            unsafe {
                direct::install(&self.imports, wasi.shared());
                indirect::install();
            }
        }
        let mut instance = std::ptr::null_mut();
        // SAFETY: all contexts were made here or in `load` and live until the process ends.
        let result = unsafe {
            let store = ffi::WasmEdge_StoreCreate();
            let executor = ffi::WasmEdge_ExecutorCreate(self.config.as_ptr(), counters);
            if let Some(limit) = self.gas_limit {
                // Not earlier: the executor sets it to what the configuration has.
                ffi::WasmEdge_StatisticsSetCostLimit(counters, limit);
            }
            gauges::begin();
            self.run_in(executor, store, &wasi, &mut instance)
        };
        let result = match result {
            Ok(values) => return Ending::Returned(values.into_iter().map(entry::result).collect()),
            Err(result) => result,
        };
        let frames = diagnostics::calling_stack();
        let ending = self.ending(result, &wasi);
        if let Ending::Trapped(_) = ending
            && !instance.is_null()
        {
            // SAFETY: the instance is alive, and nothing of it runs any more.
            let memories = unsafe { memories(instance) };
            let program = world.args.first().map_or("", String::as_str);
            post_mortem(&CoreDump { program, frames: &frames, memories: &memories });
        }
        ending
    }

    /// # Safety
    /// The contexts must be alive.
    unsafe fn run_in(
        &self,
        executor: *mut ffi::WasmEdge_ExecutorContext,
        store: *mut ffi::WasmEdge_StoreContext,
        wasi: &Wasi,
        instance: &mut *mut ffi::WasmEdge_ModuleInstanceContext,
    ) -> Result<Vec<ffi::WasmEdge_Value>, ffi::WasmEdge_Result> {
        // SAFETY: the caller's promise; the functions that are called were found by `check_function`.
        unsafe {
            for instance in wasi.instances() {
                succeeded(ffi::WasmEdge_ExecutorRegisterImport(executor, store, *instance))?;
            }
            for plugin in &self.plugins {
                succeeded(ffi::WasmEdge_ExecutorRegisterImport(executor, store, plugin.as_ptr()))?;
            }
            succeeded(ffi::WasmEdge_ExecutorInstantiate(executor, instance, store, self.module))?;
            if self.initialize {
                call(executor, *instance, INITIALIZE, &[])?;
            }
            call(executor, *instance, &self.function, &self.args)
        }
    }

    fn ending(&self, result: ffi::WasmEdge_Result, wasi: &Wasi) -> Ending {
        // SAFETY: the calls look at the result only.
        let (category, code) =
            unsafe { (ffi::WasmEdge_ResultGetCategory(result), ffi::WasmEdge_ResultGetCode(result)) };
        match (category == ffi::WasmEdge_ErrCategory_WASM, code) {
            (true, ffi::WasmEdge_ErrCode_Terminated) => Ending::Exited(wasi.exit_code()),
            (true, ffi::WasmEdge_ErrCode_CostLimitExceeded) => {
                Ending::Trapped(format!("it used up its gas, the limit is {}", self.gas_limit.unwrap_or(u64::MAX)))
            }
            _ => Ending::Trapped(diagnostics::explain(result)),
        }
    }
}

/// The function of WASI that a module gets for an import, which has this signature if it is a function.
fn wasi_import(module: &str, name: &str, signature: Option<(Vec<Type>, bool)>, index: usize) -> Result<Import, String> {
    let Some(module) = wasi::MODULES.into_iter().find(|known| *known == module && preview1::has(module, name)) else {
        return Err(format!("it imports \"{name}\" from \"{module}\", which does not exist here"));
    };
    let found = signature.and_then(|(params, returns)| preview1::find(module, name, &params, returns));
    let function =
        found.ok_or_else(|| format!("it imports \"{name}\" from \"{module}\" with another type than it has"))?;
    Ok(Import { module, function, index })
}

/// The content of the memories that an instance exports.
///
/// # Safety
/// The instance must be alive, and none of its code may run while the result is used.
pub unsafe fn memories<'a>(instance: *const ffi::WasmEdge_ModuleInstanceContext) -> Vec<&'a [u8]> {
    // SAFETY: the caller's promise; the list of names is filled up to the length given.
    unsafe {
        let count = ffi::WasmEdge_ModuleInstanceListMemoryLength(instance);
        let mut names = Vec::with_capacity(count as usize);
        let count = ffi::WasmEdge_ModuleInstanceListMemory(instance, names.as_mut_ptr(), count);
        names.set_len(count as usize);
        let content = |name| {
            let memory = ffi::WasmEdge_ModuleInstanceFindMemory(instance, name);
            let length = ffi::WasmEdge_MemoryInstanceGetPageSize(memory) * PAGE;
            let start = ffi::WasmEdge_MemoryInstanceGetPointerConst(memory, 0, length);
            (!start.is_null()).then(|| std::slice::from_raw_parts(start, length as usize))
        };
        names.into_iter().filter_map(content).collect()
    }
}

/// Calls an exported function; its results.
///
/// # Safety
/// The contexts must be alive, and the instance must export the function with parameters for `args`.
unsafe fn call(
    executor: *mut ffi::WasmEdge_ExecutorContext,
    instance: *const ffi::WasmEdge_ModuleInstanceContext,
    name: &str,
    args: &[ffi::WasmEdge_Value],
) -> Result<Vec<ffi::WasmEdge_Value>, ffi::WasmEdge_Result> {
    // SAFETY: the caller's promise; room for the results is given, and they are there after a success.
    unsafe {
        let function = ffi::WasmEdge_ModuleInstanceFindFunction(instance, view(name));
        let signature = ffi::WasmEdge_FunctionInstanceGetFunctionType(function);
        let count = ffi::WasmEdge_FunctionTypeGetReturnsLength(signature);
        let mut results = Vec::with_capacity(count as usize);
        succeeded(ffi::WasmEdge_ExecutorInvoke(
            executor,
            function,
            args.as_ptr(),
            args.len() as u32,
            results.as_mut_ptr(),
            count,
        ))?;
        results.set_len(count as usize);
        Ok(results)
    }
}

/// A `proc_exit` counts as no success, unlike in WasmEdge's eyes.
fn succeeded(result: ffi::WasmEdge_Result) -> Result<(), ffi::WasmEdge_Result> {
    // SAFETY: the calls look at the result only.
    let done = unsafe {
        ffi::WasmEdge_ResultOK(result) && ffi::WasmEdge_ResultGetCode(result) != ffi::WasmEdge_ErrCode_Terminated
    };
    if done { Ok(()) } else { Err(result) }
}
