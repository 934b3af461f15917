//! Grows the linear memory by the size given, 1 MiB at a time, and writes to each 4 KiB of it. Every 16 MiB it says
//! how far it is. When the engine refuses to grow further it says so and exits with 7.
//!
//! usage: memory MIB [HOLD_SECONDS]

use core::arch::wasm32::memory_grow;
use std::{process::exit, thread, time::Duration};

const PAGES_PER_MIB: usize = 16;
const PAGE: usize = 65_536;

fn main() {
    let mib: usize = workloads::argument(1, "memory MIB [HOLD_SECONDS]");
    for done in 0..mib {
        let page = memory_grow::<0>(PAGES_PER_MIB);
        if page == usize::MAX {
            println!("memory.grow failed after {done} MiB");
            exit(7);
        }
        touch(page * PAGE);
        if (done + 1) % 16 == 0 {
            println!("{} MiB", done + 1);
        }
    }
    println!("grew {mib} MiB");
    if let Some(seconds) = std::env::args().nth(2).and_then(|word| word.parse().ok()) {
        thread::sleep(Duration::from_secs_f64(seconds));
    }
}

fn touch(start: usize) {
    for address in (start..start + PAGES_PER_MIB * PAGE).step_by(4096) {
        // SAFETY: these pages were added by `memory_grow` just now and nobody else knows them.
        unsafe { (address as *mut u8).write_volatile(1) };
    }
}
