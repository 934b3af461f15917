//! An endless recursion of native code, which ends where the process's stack does.
//!
//! WasmEdge's handler of SIGSEGV runs on the stack that is exhausted, so that the kernel could only kill. Its handlers
//! get a stack of their own here, and what happened near the stack pointer is told from an access outside of the
//! guest's memory.

use std::{
    io,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use libc::{c_int, c_void, sigaction as Action, siginfo_t};
use nix::errno::Errno;

use super::{interpose, out_of_memory, signals::TRAP_EXIT_CODE, statistics};

/// Bytes for the handlers: WasmEdge walks the guest's frames in its own.
const HANDLERS_STACK: usize = 128 * 1024;

/// How far from the stack pointer a function may touch its own frame, in bytes.
const FRAME: usize = 1 << 20;

/// What to say, written before the module runs.
static LAST_WORDS: OnceLock<String> = OnceLock::new();
/// WasmEdge's handler; 0 while there is none.
static HANDLER: AtomicUsize = AtomicUsize::new(0);

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// From now on an exhausted stack is a trap of `program`.
pub fn end_on_overflow(program: &str) -> io::Result<()> {
    // SAFETY: a new mapping, which stays until the process ends.
    let stack = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), HANDLERS_STACK, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if stack == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let stack = libc::stack_t { ss_sp: stack, ss_flags: 0, ss_size: HANDLERS_STACK };
    // SAFETY: the stack is mapped and of this size.
    Errno::result(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) })?;
    // Set once: this process runs one program.
    let _ =
        LAST_WORDS.set(format!("wasmedge: {program} trapped: call stack exhausted, perhaps by an endless recursion\n"));
    Ok(())
}

/// `sigaction`(2) as libwasmedge finds it: once there is a stack for them, handlers of faults run there.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int {
    static LIBC: OnceLock<usize> = OnceLock::new();
    let next = *LIBC.get_or_init(|| interpose::next(c"sigaction"));
    // SAFETY: libc's function of this name has this type.
    let next: unsafe extern "C" fn(c_int, *const Action, *mut Action) -> c_int = unsafe { std::mem::transmute(next) };
    let fault = matches!(signal, libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE);
    // SAFETY: the caller's pointers, as they came.
    unsafe {
        if new.is_null() || !fault || LAST_WORDS.get().is_none() || (*new).sa_flags & libc::SA_SIGINFO == 0 {
            return next(signal, new, old);
        }
        HANDLER.store((*new).sa_sigaction, Ordering::Relaxed);
        let mut action = *new;
        action.sa_flags |= libc::SA_ONSTACK;
        action.sa_sigaction = on_fault as *const () as usize;
        next(signal, &raw const action, old)
    }
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers; write and _exit are async-signal-safe.
    unsafe {
        if signal == libc::SIGSEGV && (*info).si_addr().addr().abs_diff(stack_pointer(context)) < FRAME {
            let words = LAST_WORDS.get().map_or("", String::as_str);
            libc::write(2, words.as_ptr().cast(), words.len());
            out_of_memory::tell();
            statistics::tell();
            libc::_exit(TRAP_EXIT_CODE);
        }
    }
    // SAFETY: what `sigaction` was given for these signals.
    let handler: Handler = unsafe { std::mem::transmute(HANDLER.load(Ordering::Relaxed)) };
    handler(signal, info, context);
}

/// The stack pointer of what a signal interrupted.
unsafe fn stack_pointer(context: *mut c_void) -> usize {
    // SAFETY: a handler with SA_SIGINFO gets a ucontext_t.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let pointer = machine.gregs[libc::REG_RSP as usize] as usize;
    #[cfg(target_arch = "aarch64")]
    let pointer = machine.sp as usize;
    pointer
}
