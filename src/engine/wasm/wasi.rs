//! WASI for a module: our own functions, as WasmEdge's host functions.

use std::{
    ffi::c_void,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use wasmedge_shim_wasi::{
    Descriptor, Memory, Preopen, Reach, Twin, Wasi as State,
    preview1::{Function, Stop, Type},
    system::path,
};
use wasmedge_sys::ffi;

use super::{config::PAGE, names::view};

/// What the guest sees of the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Directories that are open, in their order.
    pub directories: Vec<Directory>,
    /// Whether its sockets share their ports (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: bool,
}

/// A file that the guest finds open behind its directories.
#[derive(Debug)]
pub struct Handed {
    /// The variable of its environment that tells the descriptor's number.
    pub variable: &'static str,
    /// The file.
    pub file: OwnedFd,
}

/// A directory that the guest finds open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its name for the guest.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How far paths lead from it.
    pub reach: Reach,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// A function that a module imports.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// From which module.
    pub module: &'static str,
    /// Which function it gets.
    pub function: &'static Function,
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
struct Shared {
    state: State,
    exit_code: u32,
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
        let shared = Box::into_raw(Box::new(Shared { state: state(world, handed)?, exit_code: 0 }));
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

/// The standard streams are copies: a guest that closes its own leaves the engine's, on which the engine tells how it ended.
fn state(world: &World, handed: Option<Handed>) -> Result<State, String> {
    let bytes = |strings: &[String]| strings.iter().map(|string| until_zero(string)).collect::<Vec<_>>();
    let mut open = Vec::new();
    for (number, name) in ["standard input", "standard output", "standard error"].into_iter().enumerate() {
        // SAFETY: the process keeps its three until it ends.
        let stream = unsafe { BorrowedFd::borrow_raw(number as i32) };
        let copy = stream.try_clone_to_owned().and_then(|file| Ok(Descriptor::new(file)?));
        open.push(copy.map_err(|error| format!("{name}: {error}"))?);
    }
    let cwd = world.directories.iter().find(|directory| directory.name == "." && directory.reach == Reach::Container);
    // A directory that cannot be opened is told of below.
    let cwd = cwd.and_then(|directory| open_directory(&directory.path).ok()).map(Rc::new);
    for directory in &world.directories {
        // One of the root's that is gone meanwhile.
        let may_be_gone = directory.reach == Reach::Container && directory.name.len() > 1;
        let opened =
            preopen(directory, cwd.as_ref()).and_then(|preopen| Descriptor::of_preopen(preopen).map_err(Into::into));
        match opened {
            Err(_) if may_be_gone => {}
            opened => {
                open.push(opened.map_err(|error| format!("cannot preopen {}: {error}", directory.path.display()))?)
            }
        }
    }
    let mut env = bytes(&world.env);
    if let Some(Handed { variable, file }) = handed {
        let name = format!("{variable}=");
        // One of this name is the image's, and would be taken for ours.
        env.retain(|entry| !entry.starts_with(name.as_bytes()));
        env.push(format!("{name}{}", open.len()).into_bytes());
        open.push(Descriptor::new(file).map_err(|error| format!("{variable}: {error}"))?);
    }
    let mut state = State::new(bytes(&world.args), env, open);
    state.reuse_port = world.reuse_port;
    Ok(state)
}

/// `cwd` is the working directory, where it is not the root.
fn preopen(directory: &Directory, cwd: Option<&Rc<OwnedFd>>) -> io::Result<Preopen> {
    let twin = match (&*directory.name, cwd) {
        _ if directory.reach != Reach::Container => Twin::None,
        (".", _) => Twin::Root(open_directory(Path::new("/"))?),
        ("/", _) | (_, None) => Twin::None,
        (_, Some(cwd)) => Twin::WorkingDirectory(Rc::clone(cwd)),
    };
    Ok(Preopen {
        name: directory.name.clone().into_bytes(),
        directory: open_directory(&directory.path)?,
        reach: directory.reach,
        read_only: directory.read_only,
        twin,
    })
}

/// Opens a directory of this process's root for a guest, whoever may list it.
///
/// # Errors
/// Of open(2).
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(path::directory(path.as_os_str().as_encoded_bytes())?)
}

/// A string with a zero inside ends there, as it would in execve(2).
fn until_zero(string: &str) -> Vec<u8> {
    string.bytes().take_while(|byte| *byte != 0).collect()
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
struct Linear {
    start: *mut u8,
    length: usize,
}

impl Memory for Linear {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the engine's memory of this length; the guest waits for the call and has no threads.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.length) }
    }
}

/// # Safety
/// The frame must be that of a call under way.
unsafe fn memory(frame: *const ffi::WasmEdge_CallingFrameContext) -> Linear {
    // SAFETY: the caller's promise.
    unsafe {
        let memory = ffi::WasmEdge_CallingFrameGetMemoryInstance(frame, 0);
        let length = if memory.is_null() { 0 } else { ffi::WasmEdge_MemoryInstanceGetPageSize(memory) * PAGE };
        let start =
            if length == 0 { std::ptr::null_mut() } else { ffi::WasmEdge_MemoryInstanceGetPointer(memory, 0, length) };
        if start.is_null() {
            return Linear { start: std::ptr::NonNull::dangling().as_ptr(), length: 0 };
        }
        Linear { start, length: length as usize }
    }
}

/// Most parameters that a function has.
const MOST_PARAMS: usize = 10;

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
        let mut args = [0; MOST_PARAMS];
        let args = &mut args[..function.params.len()];
        for (index, arg) in args.iter_mut().enumerate() {
            *arg = (*params.add(index)).Value as u64;
        }
        let errno = match function.call(&mut (*shared).state, &mut memory(frame), args) {
            Ok(()) => 0,
            Err(Stop::Errno(errno)) => errno.0,
            Err(Stop::Exit(code)) => {
                (*shared).exit_code = code;
                return ffi::WasmEdge_Result { Code: ffi::WasmEdge_ErrCode_Terminated };
            }
        };
        if function.returns {
            *returns = ffi::WasmEdge_ValueGenI32(errno.into());
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
        assert_eq!(FUNCTIONS.iter().map(|function| function.params.len()).max(), Some(9));
    }

    #[test]
    fn a_string_ends_at_its_first_zero() {
        assert_eq!(until_zero("A=1\0B"), b"A=1");
        assert_eq!(until_zero("A=é"), "A=é".as_bytes());
    }
}
