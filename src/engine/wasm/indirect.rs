//! Indirect calls by native code, without WasmEdge's lock.
//!
//! For each `call_indirect` WasmEdge 0.17.1 takes a lock, looks the type up and compares it with that of the function
//! (`Executor::proxyTableGetFuncSymbol`), which takes as long as some sixty instructions, ten times as long as the call. Programs
//! do little else: methods of Go's interfaces, Rust's trait objects, C++'s virtual functions, CPython's slots. What WasmEdge
//! answered once is kept here, until the module changes its table: few do, and those ask WasmEdge as before from then on.

use std::{
    ptr::null_mut,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
};

use super::intrinsics::{self, Entry};

/// How many answers are kept, a power of two: 64 KiB, of which those pages take memory that are used.
const ANSWERS: usize = 4096;

/// An answer of WasmEdge's.
#[repr(C)]
struct Answer {
    /// The type and the place in the table that were asked for.
    question: u64,
    /// The address of the function's code; 0 for no answer.
    code: usize,
}

/// The answers for the one module that runs in this process, each at the place that the lowest bits of its place in the table
/// tell.
static KEPT: AtomicPtr<Answer> = AtomicPtr::new(null_mut());
/// Whether the module has changed its first table, whose answers are kept.
static CHANGED: AtomicBool = AtomicBool::new(false);

static LOOK_UP: AtomicUsize = AtomicUsize::new(0);
static SET: AtomicUsize = AtomicUsize::new(0);
static INIT: AtomicUsize = AtomicUsize::new(0);
static COPY: AtomicUsize = AtomicUsize::new(0);
static GROW: AtomicUsize = AtomicUsize::new(0);
static FILL: AtomicUsize = AtomicUsize::new(0);

/// Lets the native code that was loaded last keep what it calls indirectly.
///
/// # Safety
/// None of it may run yet, nor the module before it any more.
pub unsafe fn install() {
    let size = ANSWERS * size_of::<Answer>();
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory, which is zero: no answer.
    let kept = unsafe { libc::mmap(null_mut(), size, access, flags, -1, 0) };
    if kept == libc::MAP_FAILED {
        return;
    }
    KEPT.store(kept.cast(), Ordering::Relaxed);
    CHANGED.store(false, Ordering::Relaxed);
    let replacements = [
        (Entry::TableGetFuncSymbol, look_up as *const (), &LOOK_UP),
        (Entry::TableSet, set as *const (), &SET),
        (Entry::TableInit, init as *const (), &INIT),
        (Entry::TableCopy, copy as *const (), &COPY),
        (Entry::TableGrow, grow as *const (), &GROW),
        (Entry::TableFill, fill as *const (), &FILL),
    ];
    // SAFETY: what WasmEdge would answer again is answered for it, and where it changes a table nothing is.
    unsafe { intrinsics::replace(&replacements) };
}

/// The code of a function: of the table, the type and the place in the table. Where WasmEdge is asked it may trap, and unwinds
/// the stack by what is said here of the frame (`.cfi_…`), then leaves it by `longjmp`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn look_up() {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "test edi, edi",
        "jnz 3f",
        "cmp byte ptr [rip + {changed}], 0",
        "jne 3f",
        "mov eax, esi",
        "shl rax, 32",
        "mov ecx, edx",
        "or rax, rcx",
        "and ecx, {mask}",
        "shl ecx, 4",
        "mov r8, [rip + {kept}]",
        "add r8, rcx",
        "cmp [r8], rax",
        "jne 2f",
        "mov rax, [r8 + 8]",
        "test rax, rax",
        "jz 4f",
        "ret",
        // Another answer is there, or none.
        "4:",
        "mov rax, [r8]",
        "2:",
        "push rax",
        ".cfi_adjust_cfa_offset 8",
        "push r8",
        ".cfi_adjust_cfa_offset 8",
        "sub rsp, 8",
        ".cfi_adjust_cfa_offset 8",
        "call [rip + {theirs}]",
        "add rsp, 8",
        ".cfi_adjust_cfa_offset -8",
        "pop r8",
        ".cfi_adjust_cfa_offset -8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "mov [r8], rcx",
        "mov [r8 + 8], rax",
        "ret",
        "3:",
        "jmp [rip + {theirs}]",
        ".cfi_endproc",
        changed = sym CHANGED,
        kept = sym KEPT,
        mask = const ANSWERS - 1,
        theirs = sym LOOK_UP,
    )
}

#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn look_up() {
    std::arch::naked_asm!(
        ".cfi_startproc",
        "cbnz w0, 3f",
        "adrp x9, {changed}",
        "ldrb w9, [x9, :lo12:{changed}]",
        "cbnz w9, 3f",
        "mov w10, w2",
        "orr x10, x10, x1, lsl #32",
        "and w11, w2, #{mask}",
        "adrp x9, {kept}",
        "ldr x9, [x9, :lo12:{kept}]",
        "add x9, x9, x11, lsl #4",
        "ldp x11, x12, [x9]",
        "cmp x11, x10",
        "b.ne 2f",
        "cbz x12, 2f",
        "mov x0, x12",
        "ret",
        // Another answer is there, or none.
        "2:",
        "stp x29, x30, [sp, #-32]!",
        ".cfi_def_cfa_offset 32",
        ".cfi_offset x29, -32",
        ".cfi_offset x30, -24",
        "mov x29, sp",
        "stp x9, x10, [sp, #16]",
        "adrp x16, {theirs}",
        "ldr x16, [x16, :lo12:{theirs}]",
        "blr x16",
        "ldp x9, x10, [sp, #16]",
        "stp x10, x0, [x9]",
        "ldp x29, x30, [sp], #32",
        ".cfi_restore x29",
        ".cfi_restore x30",
        ".cfi_def_cfa_offset 0",
        "ret",
        "3:",
        "adrp x16, {theirs}",
        "ldr x16, [x16, :lo12:{theirs}]",
        "br x16",
        ".cfi_endproc",
        changed = sym CHANGED,
        kept = sym KEPT,
        mask = const ANSWERS - 1,
        theirs = sym LOOK_UP,
    )
}

/// An entry that changes the table that its first argument names: WasmEdge's, once no answer counts any more.
macro_rules! change {
    ($name:ident, $theirs:path) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "test edi, edi",
                "jnz 2f",
                "mov byte ptr [rip + {changed}], 1",
                "2:",
                "jmp [rip + {theirs}]",
                changed = sym CHANGED,
                theirs = sym $theirs,
            )
        }

        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "cbnz w0, 2f",
                "mov w10, #1",
                "adrp x9, {changed}",
                "strb w10, [x9, :lo12:{changed}]",
                "2:",
                "adrp x16, {theirs}",
                "ldr x16, [x16, :lo12:{theirs}]",
                "br x16",
                changed = sym CHANGED,
                theirs = sym $theirs,
            )
        }
    };
}

change!(set, SET);
change!(init, INIT);
change!(copy, COPY);
change!(grow, GROW);
change!(fill, FILL);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::{Ending, Features, native_test};

    /// Calls the functions of a table by their places, all of them more than once; then what `last` says.
    const MODULE: &str = r#"(module
        (type $number (func (result i32)))
        (type $none (func))
        (memory (export "memory") 1)
        (table $table 6 funcref)
        (table $other 6 funcref)
        (elem (table $table) (i32.const 0) func $one $two $nothing)
        (elem (table $other) (i32.const 0) func $two $one)
        (elem $later func $two)
        (elem declare func $one $two)
        (func $one (type $number) (i32.const 1))
        (func $two (type $number) (i32.const 2))
        (func $nothing (type $none))
        (func $expect (param $place i32) (param $result i32)
            (if (i32.ne (call_indirect $table (type $number) (local.get $place)) (local.get $result)) (then unreachable)))
        (func $all (param $turns i32)
            (loop $again
                (call $expect (i32.const 0) (i32.const 1))
                (call $expect (i32.const 1) (i32.const 2))
                (call_indirect $table (type $none) (i32.const 2))
                (if (i32.ne (call_indirect $other (type $number) (i32.const 0)) (i32.const 2)) (then unreachable))
                (local.set $turns (i32.sub (local.get $turns) (i32.const 1)))
                (br_if $again (local.get $turns))))
        (func $last LAST)
        (func (export "_start") (call $all (i32.const 3)) (call $last)))"#;

    fn run(last: &str) -> (Ending, Vec<u32>) {
        native_test::run(&MODULE.replace("LAST", last), Features::default())
    }

    /// How many answers are kept.
    fn kept() -> usize {
        // SAFETY: there are as many, for as long as the process lives.
        let answers = unsafe { std::slice::from_raw_parts(KEPT.load(Ordering::Relaxed), ANSWERS) };
        answers.iter().filter(|answer| answer.code != 0).count()
    }

    #[test]
    fn what_is_called_indirectly_is_looked_up_once() {
        let _alone = native_test::alone();
        assert_eq!(run(""), (Ending::Returned(Vec::new()), Vec::new()));
        assert_eq!((kept(), CHANGED.load(Ordering::Relaxed)), (3, false));
    }

    #[test]
    fn an_indirect_call_that_must_not_be_traps_where_it_is() {
        let _alone = native_test::alone();
        for (place, of_type, expected) in [
            (0, "$none", "indirect call type mismatch"),
            (2, "$number", "indirect call type mismatch"),
            (5, "$number", "uninitialized element"),
            (6, "$number", "undefined element"),
            // At the same place among the answers as one that is kept.
            (ANSWERS, "$number", "undefined element"),
            (usize::from(u16::MAX) + 1, "$none", "undefined element"),
        ] {
            let result = if of_type == "$number" { "drop" } else { "nop" };
            let call = format!("(call_indirect $table (type {of_type}) (i32.const {place})) {result}");
            let (ending, frames) = run(&call);
            let Ending::Trapped(cause) = ending else { panic!("{call}: {ending:?}") };
            assert!(cause.contains(expected), "{call}: {cause}");
            assert_eq!(frames.last(), Some(&5), "{call}: {frames:?}");
        }
    }

    #[test]
    fn a_table_that_changes_is_believed() {
        let _alone = native_test::alone();
        for change in [
            "(table.set $table (i32.const 0) (ref.func $two))",
            "(table.init $table $later (i32.const 0) (i32.const 0) (i32.const 1))",
            "(table.copy $table $table (i32.const 0) (i32.const 1) (i32.const 1))",
            "(table.copy $table $other (i32.const 0) (i32.const 0) (i32.const 1))",
            "(table.fill $table (i32.const 0) (ref.func $two) (i32.const 1))",
        ] {
            let (ending, _) = run(&format!("{change} (call $expect (i32.const 0) (i32.const 2))"));
            assert_eq!(ending, Ending::Returned(Vec::new()), "{change}");
            assert!(CHANGED.load(Ordering::Relaxed), "{change}");
        }
        let grown =
            "(drop (table.grow $table (ref.func $one) (i32.const 4096))) (call $expect (i32.const 4097) (i32.const 1))";
        assert_eq!(run(grown).0, Ending::Returned(Vec::new()));
        // Another table's change is nothing to the first.
        let other = "(table.set $other (i32.const 0) (ref.func $one)) (call $expect (i32.const 1) (i32.const 2))";
        assert_eq!(run(other).0, Ending::Returned(Vec::new()));
        assert!(!CHANGED.load(Ordering::Relaxed));
    }
}
