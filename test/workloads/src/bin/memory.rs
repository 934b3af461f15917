//! Grows the linear memory by the size given, 1 MiB at a time, and writes to each 4 KiB of it. Every 16 MiB it says
//! how far it is. When the engine refuses to grow further it says so and exits with 7, traps, sleeps or goes on, as asked.
//!
//! With `-` it says `ready`, grows once by each size that it reads, a line of stdin each, and says `grew` or `refused`.
//!
//! usage: memory MIB [HOLD_SECONDS|trap|sleep|go-on] | memory -

use core::arch::wasm32::memory_grow;
use std::{process::exit, thread, time::Duration};

const PAGES_PER_MIB: usize = 16;
const PAGE: usize = 65_536;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("-") {
        return on_demand();
    }
    let mib: usize = workloads::argument(1, "memory MIB [HOLD_SECONDS|trap|sleep|go-on] | memory -");
    for done in 0..mib {
        if !grow() {
            println!("memory.grow failed after {done} MiB");
            match std::env::args().nth(2).as_deref() {
                Some("trap") => core::arch::wasm32::unreachable(),
                Some("sleep") => thread::sleep(Duration::from_secs(600)),
                Some("go-on") => return,
                _ => exit(7),
            }
        }
        if (done + 1) % 16 == 0 {
            println!("{} MiB", done + 1);
        }
    }
    println!("grew {mib} MiB");
    if let Some(seconds) = std::env::args().nth(2).and_then(|word| word.parse().ok()) {
        thread::sleep(Duration::from_secs_f64(seconds));
    }
}

fn on_demand() {
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = workloads::or_exit("stdin", line);
        let mib: usize = workloads::or_exit(&line, line.trim().parse());
        println!("{}", if (0..mib).all(|_| grow()) { "grew" } else { "refused" });
    }
}

/// One MiB more; `false` where the engine refuses.
fn grow() -> bool {
    let page = memory_grow::<0>(PAGES_PER_MIB);
    if page != usize::MAX {
        touch(page * PAGE);
    }
    page != usize::MAX
}

fn touch(start: usize) {
    for address in (start..start + PAGES_PER_MIB * PAGE).step_by(4096) {
        // SAFETY: these pages were added by `memory_grow` just now and nobody else knows them.
        unsafe { (address as *mut u8).write_volatile(1) };
    }
}
