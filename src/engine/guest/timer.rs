//! The limit on a program's time.
//!
//! A timer of the kernel ends the process, whatever it does: native code in a loop has no other place to be stopped at.
//! Its clock does not stop while the container is paused.

use std::{io, sync::OnceLock};

use libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::{signals::TRAP_EXIT_CODE, statistics};

/// What to say, written before the module runs.
static LAST_WORDS: OnceLock<String> = OnceLock::new();

/// Ends this process `millis` milliseconds from now, as a trap of `program`.
///
/// # Errors
/// The kernel's, or that of a seccomp profile without `setitimer`.
pub fn end_after(millis: u64, program: &str) -> io::Result<()> {
    // Set once: this process runs one program.
    let _ = LAST_WORDS.set(format!("wasmedge: {program} trapped: it took longer than its time limit of {millis} ms\n"));
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESTART | SaFlags::SA_ONSTACK;
    let action = SigAction::new(SigHandler::SigAction(end), flags, SigSet::empty());
    // SAFETY: the handler only looks, writes and exits.
    unsafe { sigaction(Signal::SIGALRM, &action)? };
    let seconds = libc::time_t::try_from(millis / 1000).unwrap_or(libc::time_t::MAX);
    let value = libc::timeval { tv_sec: seconds, tv_usec: (millis % 1000 * 1000) as libc::suseconds_t };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: reads one structure.
    match unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const once, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn end(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // Somebody else's signal of this number is for PID 1 to ignore.
    // SAFETY: the kernel passes a valid pointer.
    if unsafe { (*info).si_code } != libc::SI_KERNEL {
        return;
    }
    let words = LAST_WORDS.get().map_or("", String::as_str);
    // SAFETY: write is async-signal-safe.
    unsafe { libc::write(2, words.as_ptr().cast(), words.len()) };
    statistics::tell();
    // SAFETY: _exit is async-signal-safe.
    unsafe { libc::_exit(TRAP_EXIT_CODE) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nix::{
        sys::{
            signal::raise,
            wait::{WaitStatus, waitpid},
        },
        unistd::{ForkResult, fork},
    };

    use super::*;

    #[test]
    fn a_process_ends_in_time_whatever_it_does_and_not_by_another_signal() {
        let begin = Instant::now();
        // SAFETY: the child makes system calls only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                if end_after(200, "test").is_ok() && raise(Signal::SIGALRM).is_ok() {
                    loop {
                        std::hint::spin_loop();
                    }
                }
                // SAFETY: ends the child without the test harness's destructors.
                unsafe { libc::_exit(1) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, TRAP_EXIT_CODE));
                assert!(begin.elapsed() >= Duration::from_millis(200));
            }
        }
    }
}
