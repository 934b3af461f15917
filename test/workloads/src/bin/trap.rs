//! Traps in the way given, after a line on stdout. `stack-overflow` runs out of the linear memory's stack; for the
//! engine's own call stack see wat/endless-recursion.wat, for a division by zero wat/divide-by-zero.wat.
//!
//! usage: trap unreachable|out-of-bounds|stack-overflow|panic

use std::hint::black_box;

const USAGE: &str = "trap unreachable|out-of-bounds|stack-overflow|panic";

fn main() {
    let way: String = workloads::argument(1, USAGE);
    println!("trapping: {way}");
    match way.as_str() {
        "unreachable" => core::arch::wasm32::unreachable(),
        "out-of-bounds" => out_of_bounds(),
        "stack-overflow" => drop(deeper(black_box(1))),
        "panic" => panic!("as asked"),
        _ => workloads::usage(USAGE),
    }
    println!("still here");
}

fn out_of_bounds() {
    let last_of_4_gib = black_box(0xffff_fff0_usize) as *const u8;
    // SAFETY: none, and that is the point: the engine has to stop this read.
    black_box(unsafe { last_of_4_gib.read_volatile() });
}

#[allow(unconditional_recursion)]
#[inline(never)]
fn deeper(depth: usize) -> usize {
    let mut frame = black_box([depth; 256]);
    frame[depth % 256] = deeper(depth + 1);
    black_box(frame)[0]
}
