//! Signals of a module: it is PID 1 of its pid namespace and has no handlers of its own, so the kernel would ignore
//! every signal but SIGKILL (pid_namespaces(7)).

use std::{io, sync::OnceLock};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use wasmedge_shim_protocol::Signals;

use super::{out_of_memory, readable_signals, statistics};

/// Exit code of a guest that trapped: what the shell shows for a process that aborted (128 + SIGABRT).
pub const TRAP_EXIT_CODE: i32 = 134;

/// Signals that ask a program to end.
const ENDING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

extern "C" fn end(signal: libc::c_int) {
    statistics::tell();
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(128 + signal) }
}

/// What to say when the engine gives up, written before the module runs.
static LAST_WORDS: OnceLock<String> = OnceLock::new();

/// The engine gave up: nearly always for lack of memory, which it has no other way to say.
extern "C" fn give_up() {
    let words = LAST_WORDS.get().map_or("", String::as_str);
    // SAFETY: write and _exit are async-signal-safe.
    unsafe {
        libc::write(2, words.as_ptr().cast(), words.len());
        out_of_memory::tell();
        statistics::tell();
        libc::_exit(TRAP_EXIT_CODE)
    }
}

extern "C" fn abort(_: libc::c_int) {
    give_up();
}

/// Makes an abort of the engine a trap of `program`: C++'s `std::terminate`, which would tell of `std::bad_alloc`, and
/// SIGABRT.
pub fn end_on_abort(program: &str) -> nix::Result<()> {
    let words = format!("wasmedge: {program} trapped: the engine is out of memory, perhaps by an endless recursion\n");
    // Set once: this process runs one program.
    let _ = LAST_WORDS.set(words);
    let action = SigAction::new(SigHandler::Handler(abort), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler only writes and exits.
    unsafe { sigaction(Signal::SIGABRT, &action)? };
    // SAFETY: looks a name up: `std::set_terminate`, in the C++ library that libwasmedge has loaded.
    let set_terminate = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_ZSt13set_terminatePFvvE".as_ptr()) };
    if !set_terminate.is_null() {
        type Handler = extern "C" fn();
        // SAFETY: the function has this signature (C++ standard, [exception.syn]).
        let set_terminate: extern "C" fn(Handler) -> Option<Handler> = unsafe { std::mem::transmute(set_terminate) };
        set_terminate(give_up);
    }
    Ok(())
}

/// Makes the signals that ask to end do so at once, with exit code 128 + n; undoes what the engine set up for itself.
/// A write to a closed pipe is an error to the guest (`EPIPE`), not its death, as in every WASI runtime.
///
/// Those that the guest reads stay pending instead. They are blocked before there are handlers, so that none comes through
/// in between.
pub fn end_on_request(read: Signals) -> io::Result<()> {
    readable_signals::block_only(read)?;
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in ENDING {
        // SAFETY: the handler only calls _exit.
        unsafe { sigaction(signal, &action)? };
    }
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler.
    unsafe { sigaction(Signal::SIGPIPE, &ignore)? };
    Ok(())
}

/// Default dispositions and an empty mask, as a program finds after a plain fork and exec.
pub fn reset() -> nix::Result<()> {
    unblock_all()?;
    for number in 1..=libc::SIGRTMAX() {
        if number == libc::SIGKILL || number == libc::SIGSTOP {
            continue;
        }
        // SAFETY: restores the default; glibc refuses its own two real-time signals, which is of no concern.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    Ok(())
}

fn unblock_all() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}
