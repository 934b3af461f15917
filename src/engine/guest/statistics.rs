//! The line that tells at a program's end what it did.

use std::{
    io::{Cursor, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::wasm::{PAGE, counters, gauges};

/// Longest line; a longer name of the program is cut.
const LINE: usize = 1024;
const NAME: usize = 512;

/// Where a program began.
struct Begin {
    program: String,
    /// Nanoseconds of the monotonic clock, and of this process's CPU time.
    wall: u64,
    cpu: u64,
}

static BEGIN: OnceLock<Begin> = OnceLock::new();
static TOLD: AtomicBool = AtomicBool::new(false);

/// From now on it is counted what `program` does, and told at its end. Its time is that since `wall`, of [`now`].
pub fn begin(program: &str, wall: u64) {
    let program = program.chars().take(NAME / 4).collect();
    // Set once: this process runs one program.
    let _ = BEGIN.set(Begin { program, wall, cpu: nanos(libc::CLOCK_PROCESS_CPUTIME_ID) });
}

/// Tells it on standard error, once, where that was asked for. Async-signal-safe: neither allocates nor locks.
pub fn tell() {
    let (Some(begin), Some(counters)) = (BEGIN.get(), counters()) else { return };
    if TOLD.swap(true, Ordering::Relaxed) {
        return;
    }
    let wall = now().saturating_sub(begin.wall);
    let cpu = nanos(libc::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(begin.cpu);
    let per_second = u128::from(counters.instructions) * 1_000_000_000 / u128::from(cpu.max(1));
    let mut line = Cursor::new([0_u8; LINE]);
    // There is room for it.
    let _ = writeln!(
        line,
        "wasmedge: {} statistics: instructions={} gas={} instructions_per_second={per_second} wall_ms={}.{:03} \
         cpu_ms={}.{:03} memory_pages={}",
        begin.program,
        counters.instructions,
        counters.gas,
        wall / 1_000_000,
        wall / 1000 % 1000,
        cpu / 1_000_000,
        cpu / 1000 % 1000,
        gauges::linear_memory() / PAGE,
    );
    let length = line.position() as usize;
    // SAFETY: writes what is in the buffer.
    unsafe { libc::write(2, line.get_ref().as_ptr().cast(), length) };
}

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    nanos(libc::CLOCK_MONOTONIC)
}

fn nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one structure.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
