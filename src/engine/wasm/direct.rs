//! Calls of WASI's functions by native code, without WasmEdge in between; and copies of memory.
//!
//! WasmEdge 0.17.1 calls a host function by way of a frame, three vectors and a lock (`Executor::proxyCall`,
//! `CAPIHostFunc::run`), which takes half as long as reading 4 KiB of a file. Here native code's entry for calls of imports is
//! ours; it calls WASI's functions, and leaves the others, and whatever it cannot tell, to WasmEdge's. So are those for
//! `memory.copy` and `memory.fill`, which toolchains use for the smallest pieces, and which take a lock of WasmEdge's to find
//! the memory.

use std::{
    ptr::null_mut,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};

use wasmedge_shim_wasi::preview1::{Function, Type};

use super::{
    intrinsics::{self, Entry},
    trampoline::trampoline,
    wasi::{Import, Linear, Shared},
};

/// What native code's call of an import leads to.
struct Direct {
    /// The function of WASI that the module imports as its function of this index, if it is one.
    functions: Vec<Option<&'static Function>>,
    /// What they work on.
    shared: *mut Shared,
}

/// Of the one module that runs in this process.
static DIRECT: AtomicPtr<Direct> = AtomicPtr::new(null_mut());
/// How many calls were direct.
#[cfg(test)]
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// WasmEdge's entries, which ours replace.
static CALL_OF_WASMEDGE: AtomicUsize = AtomicUsize::new(0);
static COPY_OF_WASMEDGE: AtomicUsize = AtomicUsize::new(0);
static FILL_OF_WASMEDGE: AtomicUsize = AtomicUsize::new(0);

/// Lets the native code that was loaded last call what it imports of WASI directly.
///
/// # Safety
/// `shared` must live as long as the module runs. None of the code may run yet.
pub unsafe fn install(imports: &[Import], shared: *mut Shared) {
    let length = imports.iter().map(|import| import.index + 1).max().unwrap_or(0);
    let mut functions = vec![None; length];
    for import in imports.iter().filter(|import| import.function.returns) {
        functions[import.index] = Some(import.function);
    }
    // For as long as the process lives, which runs one module.
    DIRECT.store(Box::into_raw(Box::new(Direct { functions, shared })), Ordering::Relaxed);
    let replacements = [
        (Entry::Call, call as *const (), &CALL_OF_WASMEDGE),
        (Entry::MemoryCopy, copy as *const (), &COPY_OF_WASMEDGE),
        (Entry::MemoryFill, fill as *const (), &FILL_OF_WASMEDGE),
    ];
    // SAFETY: they do what WasmEdge's do, or leave it to those.
    unsafe { intrinsics::replace(&replacements) };
}

/// A value as native code hands it over (`ValVariant`): 16 bytes, of which a number has the first ones.
#[repr(C, align(16))]
pub struct Value([u64; 2]);

/// Calls the function of this index, if it is WASI's; whether it was. Functions that do not return are not: WasmEdge unwinds
/// the stack for those.
///
/// # Safety
/// As native code calls it: with as many values as the function has parameters, and room for its result.
unsafe extern "C" fn call_wasi(index: u32, args: *const Value, returns: *mut Value) -> bool {
    // SAFETY: what was stored lives for ever.
    let Some(Direct { functions, shared }) = (unsafe { DIRECT.load(Ordering::Relaxed).as_ref() }) else { return false };
    let Some(Some(function)) = functions.get(index as usize) else { return false };
    // SAFETY: the caller's promises; one call runs at a time, and WasmEdge has none under way.
    unsafe {
        let arg = |place, param| match param {
            // The rest of it is whatever was there.
            Type::I32 => u64::from((*args.add(place)).0[0] as u32),
            Type::I64 => (*args.add(place)).0[0],
        };
        match (**shared).call_returning(function, arg) {
            Some(errno) => *returns = Value([errno.into(), 0]),
            None => return false,
        }
    }
    #[cfg(test)]
    CALLS.fetch_add(1, Ordering::Relaxed);
    true
}

/// Copies `length` bytes of the guest's one memory; whether it did. What lies outside is WasmEdge's to trap.
///
/// # Safety
/// As native code calls it.
unsafe extern "C" fn copy_memory(to: u32, from: u32, target: u64, source: u64, length: u64) -> bool {
    // SAFETY: the caller's promise.
    let Some(memory) = (unsafe { memory(to | from) }) else { return false };
    let Some((source, target)) = memory.range(source, length).zip(memory.range(target, length)) else { return false };
    // SAFETY: both are within the memory, and may overlap.
    unsafe { std::ptr::copy(source, target, length as usize) };
    #[cfg(test)]
    CALLS.fetch_add(1, Ordering::Relaxed);
    true
}

/// Fills `length` bytes of the guest's one memory; whether it did. Of the value the first byte counts.
///
/// # Safety
/// As native code calls it.
unsafe extern "C" fn fill_memory(index: u32, target: u64, value: u32, length: u64) -> bool {
    // SAFETY: the caller's promise.
    let Some(memory) = (unsafe { memory(index) }) else { return false };
    let Some(target) = memory.range(target, length) else { return false };
    // SAFETY: within the memory.
    unsafe { std::ptr::write_bytes(target, value as u8, length as usize) };
    #[cfg(test)]
    CALLS.fetch_add(1, Ordering::Relaxed);
    true
}

/// The guest's memory of this index, if that is its first and it is known.
///
/// # Safety
/// Its module must run.
unsafe fn memory(index: u32) -> Option<Linear> {
    // SAFETY: what was stored lives for ever, and what it points to while the module runs.
    unsafe { DIRECT.load(Ordering::Relaxed).as_ref().filter(|_| index == 0).map(|direct| (*direct.shared).memory()) }
}

trampoline!(call, call_wasi, CALL_OF_WASMEDGE);
trampoline!(copy, copy_memory, COPY_OF_WASMEDGE);
trampoline!(fill, fill_memory, FILL_OF_WASMEDGE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::{Ending, Features, native_test, version};

    /// Closes what is not open, asks three times for random bytes, and for some where there is no memory; ends with what that
    /// returns.
    const MODULE: &str = r#"(module
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $turn i32)
            (drop (call $close (i32.const 99)))
            (loop $again
                (if (call $random (i32.const 8) (i32.const 8)) (then unreachable))
                (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $turn) (i32.const 3))))
            (if (i64.eqz (i64.load (i32.const 8))) (then unreachable))
            (call $exit (call $random (i32.const 65530) (i32.const 8)))))"#;

    /// Copies to and fro, fills, in pieces that overlap, are empty or end with the memory; then traps as `last` says.
    const COPIES: &str = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "abcdefgh")
        (func (export "_start")
            (drop (call $yield))
            (memory.copy (i32.const 2) (i32.const 0) (i32.const 6))
            (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x6665646362616261)) (then unreachable))
            (memory.copy (i32.const 0) (i32.const 2) (i32.const 6))
            (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x6665666564636261)) (then unreachable))
            (memory.fill (i32.const 65528) (i32.const 0x1ff) (i32.const 8))
            (if (i64.ne (i64.load (i32.const 65528)) (i64.const -1)) (then unreachable))
            (memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))
            (memory.fill (i32.const 65536) (i32.const 0) (i32.const 0))
            LAST))"#;

    #[test]
    fn memory_is_copied_and_filled_directly_and_what_lies_outside_traps() {
        let _alone = native_test::alone();
        let ending = |last: &str| {
            let before = CALLS.load(Ordering::Relaxed);
            let (ending, _) = native_test::run(&COPIES.replace("LAST", last), Features::default());
            (ending, CALLS.load(Ordering::Relaxed) - before)
        };
        assert_eq!(ending(""), (Ending::Returned(Vec::new()), 5));
        for last in [
            "(memory.fill (i32.const 65529) (i32.const 0) (i32.const 8))",
            "(memory.copy (i32.const 65529) (i32.const 0) (i32.const 8))",
            "(memory.copy (i32.const 0) (i32.const 65529) (i32.const 8))",
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const -1))",
            "(memory.fill (i32.const -1) (i32.const 0) (i32.const -1))",
        ] {
            let (ending, direct) = ending(last);
            let Ending::Trapped(cause) = ending else { panic!("{last}: {ending:?}") };
            assert!(cause.contains("out of bounds memory access"), "{cause}");
            assert_eq!(direct, 5, "{last}");
        }
    }

    /// When this fails because of another version of WasmEdge: does its table still look so, is it still needed?
    #[test]
    fn native_code_calls_wasi_directly_from_its_second_call_on_unless_it_is_counted() {
        assert_eq!(version(), intrinsics::VERSION);
        let _alone = native_test::alone();
        CALLS.store(0, Ordering::Relaxed);
        let fault = Ending::Exited(21);
        assert_eq!(native_test::run(MODULE, Features::default()).0, fault);
        // All but the first, by which the memory is found, and the last.
        assert_eq!(CALLS.swap(0, Ordering::Relaxed), 4);
        assert_eq!(native_test::run(MODULE, Features { counted: true, ..Features::default() }).0, fault);
        assert_eq!(CALLS.load(Ordering::Relaxed), 0);
    }
}
