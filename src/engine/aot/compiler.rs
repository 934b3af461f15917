//! A module to native code, in a process of its own that can do nothing else, with bounded time and memory.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::fd::{AsFd, AsRawFd, FromRawFd},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::memfd::{MFdFlags, memfd_create},
};
use wasmedge_shim_protocol::Optimization;

use super::{
    bounds,
    cell::{self, CPU_SECONDS, Inmate},
};
use crate::wasm::{Features, code_size, compile};

/// How long a compilation may take. On a busy node it gets little time, but a compiler that does nothing goes on for ever.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Most that is kept of what a compiler says, in bytes.
const MESSAGE: usize = 2048;

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Somebody or the kernel ended the compiler: that says nothing of the module.
    #[error("the compiler was killed by {0}")]
    Killed(String),
    /// What is the module's own fault, or will happen again.
    #[error("{0}")]
    Verdict(String),
    /// No compiler could be made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Compiles in a child process; the native code, at its start.
pub fn compile_apart(module: &[u8], features: Features, optimization: Optimization) -> Result<File, Failed> {
    let mut native = File::from(memfd_create(c"native-code", MFdFlags::MFD_CLOEXEC).map_err(io::Error::from)?);
    let (messages, message) = io::pipe()?;
    let work = |directory: &Path| compile_into(module, features, optimization, directory);
    let inmate = cell::start(bounds::address_space(code_size(module)), &native, &message, work)?;
    drop(message);
    let (text, in_time) = listen(messages, &inmate)?;
    let (status, processor_time) = end_of(&inmate)?;
    judge(status, processor_time, in_time, text)?;
    native.rewind()?;
    let mut magic = [0; 4];
    if native.read_exact(&mut magic).is_err() || &magic != b"\x7fELF" {
        return Err(Failed::Verdict("the compiler wrote something that is no shared library".to_owned()));
    }
    native.rewind()?;
    Ok(native)
}

/// What the compiler says until its end, cut short, in one line; whether it ended in time, as it is made to otherwise.
fn listen(mut messages: io::PipeReader, inmate: &Inmate) -> io::Result<(String, bool)> {
    let deadline = Instant::now() + PATIENCE;
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    let in_time = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(messages.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
            Ok(0) if left.is_zero() => break false,
            Ok(0) => continue,
            Ok(_) => {}
        }
        // Read on when it is full: who writes must not have to wait.
        match messages.read(&mut buffer)? {
            0 => break true,
            count => text.extend(&buffer[..count.min(MESSAGE - text.len())]),
        }
    };
    if !in_time {
        kill(inmate)?;
    }
    let text = String::from_utf8_lossy(&text);
    let text: Vec<&str> =
        text.split(|one: char| one.is_control() || one == ' ').filter(|word| !word.is_empty()).collect();
    Ok((text.join(" "), in_time))
}

fn kill(inmate: &Inmate) -> io::Result<()> {
    let fd = inmate.pidfd.as_raw_fd();
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes a descriptor and integers.
    Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, nothing, 0) })?;
    Ok(())
}

/// Waits for the end: the status of wait(2), and the processor time that it took.
fn end_of(inmate: &Inmate) -> io::Result<(libc::c_int, Duration)> {
    let mut status = 0;
    // SAFETY: a structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: writes both.
        match Errno::result(unsafe { libc::wait4(inmate.pid.as_raw(), &raw mut status, 0, &raw mut usage) }) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
            Ok(_) => {
                let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
                return Ok((status, Duration::from_secs(seconds.unsigned_abs())));
            }
        }
    }
}

fn judge(status: libc::c_int, processor_time: Duration, in_time: bool, text: String) -> Result<(), Failed> {
    if !in_time {
        return Err(Failed::Verdict(format!("the compiler was not done after {} minutes", PATIENCE.as_secs() / 60)));
    }
    if libc::WIFEXITED(status) {
        return match (libc::WEXITSTATUS(status), text.is_empty()) {
            (0, _) => Ok(()),
            (_, true) => Err(Failed::Verdict("the compiler failed and said nothing".to_owned())),
            (_, false) => Err(Failed::Verdict(text)),
        };
    }
    // The kernel ends the first process of a pid namespace by SIGKILL, at the limit too. Whole seconds are cut off.
    if processor_time + Duration::from_secs(2) >= Duration::from_secs(CPU_SECONDS) {
        return Err(Failed::Verdict(format!("the compiler took more than {CPU_SECONDS} s of CPU time")));
    }
    let number = libc::WTERMSIG(status);
    let name =
        nix::sys::signal::Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string());
    Err(Failed::Killed(name))
}

/// What is done in the cell.
fn compile_into(module: &[u8], features: Features, optimization: Optimization, directory: &Path) -> Result<()> {
    let path = directory.join("module.so");
    let compiled = compile(module, features, optimization, &path).map_err(|cause| anyhow!(cause)).and_then(|()| {
        // SAFETY: opened by the cell for this; nothing else uses it.
        let mut result = unsafe { File::from_raw_fd(cell::RESULT) };
        Ok(io::copy(&mut File::open(&path)?, &mut result)?)
    });
    if directory != Path::new("/") {
        // A workspace goes with its mount namespace; people without root have a directory.
        let _ = std::fs::remove_dir_all(directory);
    }
    compiled.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest module: its header.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn judged(status: libc::c_int, seconds: u64, in_time: bool, text: &str) -> Result<(), Failed> {
        judge(status, Duration::from_secs(seconds), in_time, text.to_owned())
    }

    #[test]
    fn who_is_killed_is_told_from_who_fails() {
        let exit = |code: libc::c_int| code << 8;
        assert!(judged(exit(0), 1, true, "chatter").is_ok());
        assert!(
            matches!(judged(exit(1), 1, true, "no such type"), Err(Failed::Verdict(text)) if text == "no such type")
        );
        assert!(matches!(judged(exit(1), 1, true, ""), Err(Failed::Verdict(_))));
        for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM] {
            assert!(matches!(judged(signal, 1, true, ""), Err(Failed::Killed(_))));
        }
        let error = judged(libc::SIGKILL, CPU_SECONDS - 1, true, "").unwrap_err();
        assert_eq!(error.to_string(), "the compiler took more than 600 s of CPU time");
        assert!(matches!(error, Failed::Verdict(_)));
        assert!(matches!(judged(libc::SIGKILL, 1, false, ""), Err(Failed::Verdict(_))));
    }

    #[test]
    fn a_module_becomes_a_shared_library_and_what_is_none_is_named() {
        let mut native = compile_apart(MODULE, Features::default(), Optimization::O0).unwrap();
        let mut magic = [0; 4];
        native.read_exact(&mut magic).unwrap();
        assert_eq!(&magic, b"\x7fELF");
        let error = compile_apart(b"\0asm\x02\0\0\0", Features::default(), Optimization::O0).unwrap_err();
        assert!(matches!(&error, Failed::Verdict(text) if text.contains("version 2")), "{error}");
    }
}
