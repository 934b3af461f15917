//! A module to which the container's limit has refused memory, and that fails then: it is out of memory, as a Linux program
//! would be that the kernel kills there. But no kernel tells of it, so the process does: a line on standard error, and
//! its own name, which stays with it until the host reaps it and asks no descriptor and no memory of anybody meanwhile.
//!
//! Whoever breaks out of WebAssembly's walls can say so too. It says it of itself: its own container is shown as out of
//! memory, which any program can bring about by being so.

use std::{
    ffi::CStr,
    io::{Cursor, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::wasm::Limits;

/// The name of a process that failed for want of memory. No file is called so, so no program is by its execution.
pub const NAME: &CStr = c"wasmedge/oom";

/// Longest line; a longer name of the program is cut.
const LINE: usize = 1024;
const PROGRAM: usize = 512;

/// The program, for the line.
static PROGRAM_NAME: OnceLock<String> = OnceLock::new();

/// What the module might have when it was refused more, in bytes, as [`Limits::data`]; 0 while it was not.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// From now on a failure is told of as one of `program`.
pub fn prepare(program: &str) {
    // Set once: this process runs one program.
    let _ = PROGRAM_NAME.set(program.chars().take(PROGRAM / 4).collect());
}

/// Notes that a linear memory did not grow, as the container's limit leaves the module `data` bytes.
pub fn refuse(data: u64) {
    REFUSED.store(data.max(1), Ordering::Relaxed);
}

/// To be called when the program fails by itself: tells where it was refused memory before. Async-signal-safe: neither
/// allocates nor locks.
pub fn tell() {
    let data = REFUSED.swap(0, Ordering::Relaxed);
    if data == 0 {
        return;
    }
    let mut line = Cursor::new([0_u8; LINE]);
    let program = PROGRAM_NAME.get().map_or("the module", String::as_str);
    let mib = Limits::with_data(data).div_ceil(1 << 20);
    // There is room for it.
    let _ = writeln!(
        line,
        "wasmedge: {program} is out of memory: memory.grow was refused, the container's memory limit is {mib} MiB"
    );
    let length = line.position() as usize;
    // SAFETY: writes what is in the buffer, and names the process by a NUL-terminated string.
    unsafe {
        libc::write(2, line.get_ref().as_ptr().cast(), length);
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_of_memory_after_a_refusal_only() {
        let name = || std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        tell();
        assert_ne!(name().trim_end(), "wasmedge/oom");
        refuse(Limits { memory: Some(32 << 20), ..Limits::default() }.data());
        tell();
        assert_eq!(name().trim_end(), "wasmedge/oom");
    }
}
