//! For differential fuzzing: everything that can be seen of a module's run, as text. Two runs that differ in a line are
//! not the same, whichever way the module was executed.

use std::{ffi::CStr, fmt::Write as _, fs::File, os::fd::AsFd, path::Path};

use sha2::{Digest, Sha256};
use wasmedge_shim_protocol::Optimization;
use wasmedge_sys::ffi;

use super::{
    compiler,
    config::{Config, Features},
    diagnostics, loader,
    names::text,
};

/// Loads `module` and runs it: its start function and then each function that it exports.
///
/// # Errors
/// It is not accepted.
pub fn interpreted(module: &[u8]) -> Result<String, String> {
    diagnostics::install();
    let config = Config::new(Features::default());
    let parsed = loader::parse(&config, module)?;
    run(&config, parsed)
}

/// The same as native code, which is compiled in this process to a file in `directory`.
///
/// # Errors
/// It is not compiled, or not accepted.
pub fn native(module: &[u8], level: Optimization, directory: &Path) -> Result<String, String> {
    let path = directory.join(format!("{level}.so"));
    compiler::compile(module, Features::default(), level, &path).map_err(|cause| format!("not compiled: {cause}"))?;
    let config = Config::native(Features::default());
    let file = File::open(&path).map_err(|error| error.to_string())?;
    let parsed = loader::parse_native(&config, file.as_fd())?;
    run(&config, parsed)
}

/// The contexts stay: the process ends soon.
fn run(config: &Config, module: *mut ffi::WasmEdge_ASTModuleContext) -> Result<String, String> {
    // SAFETY: the contexts were just made and are never deleted; all names and values are of the instance.
    unsafe {
        diagnostics::clear();
        let validator = ffi::WasmEdge_ValidatorCreate(config.as_ptr());
        loader::check(ffi::WasmEdge_ValidatorValidate(validator, module))?;
        let (store, executor) =
            (ffi::WasmEdge_StoreCreate(), ffi::WasmEdge_ExecutorCreate(config.as_ptr(), std::ptr::null_mut()));
        let mut instance = std::ptr::null_mut();
        let result = ffi::WasmEdge_ExecutorInstantiate(executor, &raw mut instance, store, module);
        if !ffi::WasmEdge_ResultOK(result) {
            return Ok(format!("instantiation: {}\n", ending(result)));
        }
        let mut seen = functions(executor, instance);
        globals(instance, &mut seen);
        memories(instance, &mut seen);
        Ok(seen)
    }
}

/// # Safety
/// The contexts must be alive.
unsafe fn functions(
    executor: *mut ffi::WasmEdge_ExecutorContext,
    instance: *mut ffi::WasmEdge_ModuleInstanceContext,
) -> String {
    let mut seen = String::new();
    // SAFETY: the caller's promise; each list is filled up to the length given, results are there after a success.
    unsafe {
        let names = list(
            ffi::WasmEdge_ModuleInstanceListFunctionLength(instance),
            ffi::WasmEdge_ModuleInstanceListFunction,
            instance,
        );
        for (index, name) in names.into_iter().enumerate() {
            let function = ffi::WasmEdge_ModuleInstanceFindFunction(instance, name);
            let signature = ffi::WasmEdge_FunctionInstanceGetFunctionType(function);
            let count = ffi::WasmEdge_FunctionTypeGetParametersLength(signature);
            let mut kinds = Vec::with_capacity(count as usize);
            let count = ffi::WasmEdge_FunctionTypeGetParameters(signature, kinds.as_mut_ptr(), count);
            kinds.set_len(count as usize);
            let name = text(name);
            let args: Option<Vec<_>> = kinds.iter().enumerate().map(|(at, kind)| argument(*kind, index, at)).collect();
            let Some(args) = args else {
                let _ = writeln!(seen, "function {name:?}: not called");
                continue;
            };
            let count = ffi::WasmEdge_FunctionTypeGetReturnsLength(signature);
            let mut results = Vec::with_capacity(count as usize);
            let (given, room) = (args.as_ptr(), results.as_mut_ptr());
            let result = ffi::WasmEdge_ExecutorInvoke(executor, function, given, args.len() as u32, room, count);
            if ffi::WasmEdge_ResultOK(result) {
                results.set_len(count as usize);
                let values: Vec<String> = results.into_iter().map(value).collect();
                let _ = writeln!(seen, "function {name:?}: {}", values.join(" "));
            } else {
                let _ = writeln!(seen, "function {name:?}: {}", ending(result));
            }
        }
    }
    seen
}

/// # Safety
/// The instance must be alive.
unsafe fn globals(instance: *mut ffi::WasmEdge_ModuleInstanceContext, seen: &mut String) {
    // SAFETY: the caller's promise.
    unsafe {
        let length = ffi::WasmEdge_ModuleInstanceListGlobalLength(instance);
        for name in list(length, ffi::WasmEdge_ModuleInstanceListGlobal, instance) {
            let global = ffi::WasmEdge_ModuleInstanceFindGlobal(instance, name);
            let _ = writeln!(seen, "global {:?}: {}", text(name), value(ffi::WasmEdge_GlobalInstanceGetValue(global)));
        }
    }
}

/// # Safety
/// The instance must be alive.
unsafe fn memories(instance: *mut ffi::WasmEdge_ModuleInstanceContext, seen: &mut String) {
    // SAFETY: the caller's promise.
    for (index, memory) in unsafe { super::program::memories(instance) }.into_iter().enumerate() {
        let digest = Sha256::digest(memory);
        let _ = writeln!(seen, "memory {index}: {} bytes, {:02x?}", memory.len(), &digest[..8]);
    }
}

type List = unsafe extern "C" fn(*const ffi::WasmEdge_ModuleInstanceContext, *mut ffi::WasmEdge_String, u32) -> u32;

/// # Safety
/// `list` must be the function of the C API that goes with `length`.
unsafe fn list(
    length: u32,
    list: List,
    instance: *const ffi::WasmEdge_ModuleInstanceContext,
) -> Vec<ffi::WasmEdge_String> {
    let mut names = Vec::with_capacity(length as usize);
    // SAFETY: the list is filled up to the length given.
    unsafe {
        let length = list(instance, names.as_mut_ptr(), length);
        names.set_len(length as usize);
    }
    names
}

/// A value for a parameter; `None` for references that cannot be made here.
fn argument(kind: ffi::WasmEdge_ValType, function: usize, index: usize) -> Option<ffi::WasmEdge_Value> {
    const WORDS: [u64; 8] = [
        0,
        1,
        u64::MAX,
        0x8000_0000_8000_0000,
        0x7fff_ffff_7fff_ffff,
        0x3ff8_0000_3fc0_0000,
        0x7ff0_0000_7f80_0000,
        0x0123_4567_89ab_cdef,
    ];
    let word = WORDS[(function * 3 + index) % WORDS.len()];
    // SAFETY: these calls look at and make plain values.
    unsafe {
        if ffi::WasmEdge_ValTypeIsI32(kind) {
            Some(ffi::WasmEdge_ValueGenI32(word as i32))
        } else if ffi::WasmEdge_ValTypeIsI64(kind) {
            Some(ffi::WasmEdge_ValueGenI64(word.cast_signed()))
        } else if ffi::WasmEdge_ValTypeIsF32(kind) {
            Some(ffi::WasmEdge_ValueGenF32(f32::from_bits(word as u32)))
        } else if ffi::WasmEdge_ValTypeIsF64(kind) {
            Some(ffi::WasmEdge_ValueGenF64(f64::from_bits(word)))
        } else if ffi::WasmEdge_ValTypeIsV128(kind) {
            Some(ffi::WasmEdge_ValueGenV128((u128::from(word) << 64 | u128::from(!word)) as _))
        } else if ffi::WasmEdge_ValTypeIsFuncRef(kind) && ffi::WasmEdge_ValTypeIsRefNull(kind) {
            Some(ffi::WasmEdge_ValueGenFuncRef(std::ptr::null()))
        } else if ffi::WasmEdge_ValTypeIsExternRef(kind) && ffi::WasmEdge_ValTypeIsRefNull(kind) {
            Some(ffi::WasmEdge_ValueGenExternRef(std::ptr::null_mut()))
        } else {
            None
        }
    }
}

/// Numbers by their bits, as far as those are defined: all NaNs are one. References by whether they are null.
fn value(value: ffi::WasmEdge_Value) -> String {
    let kind = value.Type;
    // SAFETY: these calls look at plain values.
    unsafe {
        if ffi::WasmEdge_ValTypeIsI32(kind) {
            format!("i32:{:x}", ffi::WasmEdge_ValueGetI32(value))
        } else if ffi::WasmEdge_ValTypeIsI64(kind) {
            format!("i64:{:x}", ffi::WasmEdge_ValueGetI64(value))
        } else if ffi::WasmEdge_ValTypeIsF32(kind) {
            let float = ffi::WasmEdge_ValueGetF32(value);
            if float.is_nan() { "f32:nan".to_owned() } else { format!("f32:{:x}", float.to_bits()) }
        } else if ffi::WasmEdge_ValTypeIsF64(kind) {
            let float = ffi::WasmEdge_ValueGetF64(value);
            if float.is_nan() { "f64:nan".to_owned() } else { format!("f64:{:x}", float.to_bits()) }
        } else if ffi::WasmEdge_ValTypeIsV128(kind) {
            format!("v128:{:x}", ffi::WasmEdge_ValueGetV128(value))
        } else if ffi::WasmEdge_ValTypeIsRef(kind) {
            if ffi::WasmEdge_ValueIsNullRef(value) { "null" } else { "reference" }.to_owned()
        } else {
            "unknown".to_owned()
        }
    }
}

fn ending(result: ffi::WasmEdge_Result) -> String {
    // SAFETY: the calls look at the result only and return a static string.
    unsafe { CStr::from_ptr(ffi::WasmEdge_ResultGetMessage(result)) }.to_string_lossy().into_owned()
}
