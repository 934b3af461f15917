//! Says `busy`, then computes for ever without a single call to the host.
//!
//! usage: busy

use std::hint::black_box;
use std::io::{Write, stdout};

fn main() {
    println!("busy");
    workloads::or_exit("stdout", stdout().flush());
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}
