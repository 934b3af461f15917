//! Signals that a module reads, as WASI has no handlers.
//!
//! They are blocked, so that they stay pending, and the module has a signalfd(2) for them. The kernel keeps blocked signals
//! even of a PID 1 without handlers, which would else never see them (pid_namespaces(7)).

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{FromRawFd, OwnedFd},
};

use wasmedge_shim_protocol::Signals;

/// The environment variable with the number of the descriptor.
pub const VARIABLE: &str = "WASMEDGE_SIGNAL_FD";

/// Blocks these signals and no others.
///
/// # Errors
/// That of a seccomp profile without `rt_sigprocmask`.
pub fn block_only(signals: Signals) -> io::Result<()> {
    // SAFETY: reads one set.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set(signals), std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A file that yields a `struct signalfd_siginfo` of 128 bytes for each of these signals, whose first four bytes are its
/// number. Reading waits for one. `None` if there are no signals to read.
///
/// # Errors
/// Of signalfd(2).
pub fn open(signals: Signals) -> io::Result<Option<OwnedFd>> {
    if signals.is_empty() {
        return Ok(None);
    }
    // SAFETY: makes a new descriptor, which nobody else owns.
    unsafe {
        match libc::signalfd(-1, &set(signals), libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(Some(OwnedFd::from_raw_fd(fd))),
        }
    }
}

fn set(signals: Signals) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` fills the set. `sigaddset` refuses numbers that are none.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for number in signals.numbers() {
            libc::sigaddset(set.as_mut_ptr(), number);
        }
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read};

    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    use super::*;

    /// Whether both signals arrive, each in a record of its own.
    fn arrive() -> io::Result<bool> {
        let signals: Signals = "TERM, RTMIN+3".parse().unwrap_or_default();
        block_only(signals)?;
        let mut file = File::from(open(signals)?.ok_or(io::ErrorKind::NotFound)?);
        for number in [37, libc::SIGTERM] {
            // SAFETY: a signal to this process, which has blocked it.
            unsafe { libc::raise(number) };
        }
        let mut numbers = Vec::new();
        for _ in 0..2 {
            let mut record = [0; 128];
            file.read_exact(&mut record)?;
            numbers.push(i32::from_ne_bytes([record[0], record[1], record[2], record[3]]));
        }
        Ok(numbers == [libc::SIGTERM, 37])
    }

    #[test]
    fn signals_arrive_as_records() {
        // SAFETY: the child makes system calls only. In it, as the mask is the process's.
        match unsafe { fork() }.unwrap() {
            // SAFETY: ends the child without the test harness's destructors.
            ForkResult::Child => unsafe { libc::_exit(i32::from(!arrive().unwrap_or_default())) },
            ForkResult::Parent { child } => assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0)),
        }
        assert!(open(Signals::default()).unwrap().is_none());
    }
}
