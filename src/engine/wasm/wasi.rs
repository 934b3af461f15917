//! WASI for a module: our own functions, as WasmEdge's host functions.

use std::{ffi::c_void, ptr::null_mut};

use wasmedge_shim_wasi::{
    Memory, Wasi as State,
    preview1::{Function, Stop, Type},
};
use wasmedge_sys::ffi;

use super::{
    config::PAGE,
    names::view,
    world::{self, Handed, World},
};

/// A function that a module imports.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// From which module.
    pub module: &'static str,
    /// Which function it gets.
    pub function: &'static Function,
    /// Its index among the module's functions.
    pub index: usize,
}

/// The modules that functions of WASI are imported from.
pub const MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// Owns the module instances with the WASI functions, and what the guest has open: none of it may stay in the host, which
/// runs a module once to warm up.
pub struct Wasi {
    instances: Vec<*mut ffi::WasmEdge_ModuleInstanceContext>,
    bindings: Vec<*mut Binding>,
    shared: *mut Shared,
}

/// What all functions have in common.
pub struct Shared {
    state: State,
    exit_code: u32,
    /// The guest's memory, from its first call on: there is one guest.
    memory: *mut ffi::WasmEdge_MemoryInstanceContext,
    /// Where it begins, null until it has a page: it is reserved whole, and never moves.
    start: *mut u8,
}

/// What one function is given with each call.
struct Binding {
    shared: *mut Shared,
    function: &'static Function,
}

impl Wasi {
    /// Of this world and what else is handed to the guest, with the functions that a module imports.
    ///
    /// # Errors
    /// Names a directory that cannot be opened, with the cause.
    pub fn new(world: &World, handed: Option<Handed>, imports: &[Import]) -> Result<Self, String> {
        let shared =
            Shared { state: world::enter(world, handed)?, exit_code: 0, memory: null_mut(), start: null_mut() };
        let shared = Box::into_raw(Box::new(shared));
        let mut wasi = Self { instances: Vec::new(), bindings: Vec::new(), shared };
        MODULES.into_iter().for_each(|module| wasi.add(module, imports));
        Ok(wasi)
    }

    /// Adds the instance of a module, with the functions that are imported from it.
    fn add(&mut self, module: &str, imports: &[Import]) {
        // SAFETY: names are copied during the calls; types are deleted once, and the instance takes the functions.
        unsafe {
            let instance = ffi::WasmEdge_ModuleInstanceCreate(view(module));
            self.instances.push(instance);
            for Import { function, .. } in imports.iter().filter(|import| import.module == module) {
                let params: Vec<_> = function.params.iter().map(|param| value_type(*param)).collect();
                let returns = [ffi::WasmEdge_ValTypeGenI32()];
                let (length, results) = (params.len() as u32, u32::from(function.returns));
                let signature = ffi::WasmEdge_FunctionTypeCreate(params.as_ptr(), length, returns.as_ptr(), results);
                let binding = Box::into_raw(Box::new(Binding { shared: self.shared, function }));
                self.bindings.push(binding);
                let host = ffi::WasmEdge_FunctionInstanceCreate(signature, Some(call), binding.cast(), 0);
                ffi::WasmEdge_FunctionTypeDelete(signature);
                ffi::WasmEdge_ModuleInstanceAddFunction(instance, view(function.name), host);
            }
        }
    }

    /// The instances, valid as long as `self`.
    pub fn instances(&self) -> &[*mut ffi::WasmEdge_ModuleInstanceContext] {
        &self.instances
    }

    /// What all functions have in common, valid as long as `self`.
    pub fn shared(&self) -> *mut Shared {
        self.shared
    }

    /// What the guest gave to `proc_exit`, 0 if it did not call it.
    pub fn exit_code(&self) -> u32 {
        // SAFETY: alive; no function runs now.
        unsafe { (*self.shared).exit_code }
    }
}

impl Drop for Wasi {
    fn drop(&mut self) {
        // SAFETY: each was made in `new` or `add` and is deleted once, what uses another before that.
        unsafe {
            self.instances.iter().for_each(|instance| ffi::WasmEdge_ModuleInstanceDelete(*instance));
            self.bindings.iter().for_each(|binding| drop(Box::from_raw(*binding)));
            drop(Box::from_raw(self.shared));
        }
    }
}

fn value_type(param: Type) -> ffi::WasmEdge_ValType {
    // SAFETY: makes a value.
    unsafe {
        match param {
            Type::I32 => ffi::WasmEdge_ValTypeGenI32(),
            Type::I64 => ffi::WasmEdge_ValTypeGenI64(),
        }
    }
}

/// The guest's memory during a call; empty if it has none.
pub struct Linear {
    start: *mut u8,
    length: usize,
}

impl Linear {
    /// Where so many bytes from `offset` on are, if they are all in it.
    pub fn range(&self, offset: u64, length: u64) -> Option<*mut u8> {
        let end = offset.checked_add(length)?;
        // SAFETY: within the memory, or at its end.
        (end <= self.length as u64).then(|| unsafe { self.start.add(offset as usize) })
    }
}

impl Memory for Linear {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the engine's memory of this length; the guest waits for the call and has no threads.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

impl Shared {
    /// Calls a function; `arg` tells the arguments by their places and types.
    ///
    /// # Safety
    /// The guest must wait for the call, and its memory, if it is known, must live.
    unsafe fn call(&mut self, function: &Function, arg: impl Fn(usize, Type) -> u64) -> Result<u16, Stop> {
        let mut args = [0; MOST_PARAMS];
        let args = &mut args[..function.params.len()];
        for (place, (value, param)) in args.iter_mut().zip(function.params).enumerate() {
            *value = arg(place, *param);
        }
        let mut memory = self.memory();
        match function.call(&mut self.state, &mut memory, args) {
            Ok(()) => Ok(0),
            Err(Stop::Errno(errno)) => Ok(errno.0),
            Err(stop) => Err(stop),
        }
    }

    /// The guest's memory, empty until it is known.
    pub fn memory(&mut self) -> Linear {
        // SAFETY: it lives as long as the guest. All of it is asked for, so that it must be there.
        let length = unsafe {
            let length =
                if self.memory.is_null() { 0 } else { ffi::WasmEdge_MemoryInstanceGetPageSize(self.memory) * PAGE };
            if self.start.is_null() && length != 0 {
                self.start = ffi::WasmEdge_MemoryInstanceGetPointer(self.memory, 0, length);
            }
            length
        };
        if self.start.is_null() {
            return Linear { start: std::ptr::NonNull::dangling().as_ptr(), length: 0 };
        }
        Linear { start: self.start, length: length as usize }
    }

    /// As [`Self::call`], for native code: a function that returns, once the guest's memory is known. `None` where that is
    /// not so.
    ///
    /// # Safety
    /// As that of [`Self::call`].
    pub unsafe fn call_returning(&mut self, function: &Function, arg: impl Fn(usize, Type) -> u64) -> Option<u16> {
        if self.memory.is_null() || !function.returns {
            return None;
        }
        // SAFETY: the caller's promise. No function that returns ends the guest.
        unsafe { self.call(function, arg) }.ok()
    }
}

/// Most parameters that a function has.
const MOST_PARAMS: usize = 9;

/// # Safety
/// As WasmEdge calls it: with a [`Binding`], and with as many values as the function's type has.
unsafe extern "C" fn call(
    data: *mut c_void,
    frame: *const ffi::WasmEdge_CallingFrameContext,
    params: *const ffi::WasmEdge_Value,
    returns: *mut ffi::WasmEdge_Value,
) -> ffi::WasmEdge_Result {
    // SAFETY: the caller's promise; one call runs at a time.
    unsafe {
        let Binding { shared, function } = *data.cast::<Binding>();
        let shared = &mut *shared;
        if shared.memory.is_null() {
            shared.memory = ffi::WasmEdge_CallingFrameGetMemoryInstance(frame, 0);
        }
        match shared.call(function, |place, _| (*params.add(place)).Value as u64) {
            Ok(errno) if function.returns => *returns = ffi::WasmEdge_ValueGenI32(errno.into()),
            Ok(_) | Err(Stop::Errno(_)) => {}
            Err(Stop::Exit(code)) => {
                shared.exit_code = code;
                return ffi::WasmEdge_Result { Code: ffi::WasmEdge_ErrCode_Terminated };
            }
        }
        ffi::WasmEdge_Result { Code: 0 }
    }
}

/// The parameters of a function that a module imports, and whether it returns an `i32`; `None` for types that no function of
/// WASI has, and for none.
///
/// # Safety
/// The type must be alive or null.
pub unsafe fn signature(function: *const ffi::WasmEdge_FunctionTypeContext) -> Option<(Vec<Type>, bool)> {
    if function.is_null() {
        return None;
    }
    // SAFETY: the caller's promise; the lists are filled up to the length given.
    unsafe {
        let length = ffi::WasmEdge_FunctionTypeGetParametersLength(function);
        let mut params = Vec::with_capacity(length as usize);
        let filled = ffi::WasmEdge_FunctionTypeGetParameters(function, params.as_mut_ptr(), length).min(length);
        params.set_len(filled as usize);
        let of = |value: ffi::WasmEdge_ValType| match value {
            value if ffi::WasmEdge_ValTypeIsI32(value) => Some(Type::I32),
            value if ffi::WasmEdge_ValTypeIsI64(value) => Some(Type::I64),
            _ => None,
        };
        let params = params.into_iter().map(of).collect::<Option<Vec<_>>>()?;
        match ffi::WasmEdge_FunctionTypeGetReturnsLength(function) {
            0 => Some((params, false)),
            1 => {
                let mut result = [ffi::WasmEdge_ValTypeGenI64()];
                ffi::WasmEdge_FunctionTypeGetReturns(function, result.as_mut_ptr(), 1);
                ffi::WasmEdge_ValTypeIsI32(result[0]).then_some((params, true))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmedge_shim_wasi::preview1::FUNCTIONS;

    use super::*;

    #[test]
    fn no_function_has_more_parameters_than_there_is_room_for() {
        assert!(FUNCTIONS.iter().all(|function| function.params.len() <= MOST_PARAMS));
    }
}
