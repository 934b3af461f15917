//! From native code to a function of ours, or to WasmEdge's as if ours had not been there.

/// An entry of the table: what native code calls with up to five words. Where `ours` does not do it WasmEdge's is jumped to, as
/// if it had been called: it may unwind the stack to before the module, and no frame of Rust's may be on it then.
macro_rules! trampoline {
    ($name:ident, $ours:path, $theirs:path) => {
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "call {ours}",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "test al, al",
                "jz 2f",
                "ret",
                "2:",
                "mov rax, [rip + {theirs}]",
                "jmp rax",
                ours = sym $ours,
                theirs = sym $theirs,
            )
        }

        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            std::arch::naked_asm!(
                "stp x29, x30, [sp, #-64]!",
                "mov x29, sp",
                "stp x0, x1, [sp, #16]",
                "stp x2, x3, [sp, #32]",
                "str x4, [sp, #48]",
                "bl {ours}",
                // The rest of a truth value's register may hold anything.
                "and w9, w0, #0xff",
                "ldp x0, x1, [sp, #16]",
                "ldp x2, x3, [sp, #32]",
                "ldr x4, [sp, #48]",
                "ldp x29, x30, [sp], #64",
                "cbz w9, 2f",
                "ret",
                "2:",
                "adrp x16, {theirs}",
                "ldr x16, [x16, :lo12:{theirs}]",
                "br x16",
                ours = sym $ours,
                theirs = sym $theirs,
            )
        }
    };
}

pub(super) use trampoline;
