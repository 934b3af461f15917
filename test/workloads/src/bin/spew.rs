//! Writes numbered lines of 64 bytes to stdout: `0000000001 xxx…`.
//!
//! usage: spew LINES

use std::io::{BufWriter, Write, stdout};

fn main() {
    let lines: u64 = workloads::argument(1, "spew LINES");
    let mut out = BufWriter::new(stdout().lock());
    for number in 1..=lines {
        workloads::or_exit("stdout", writeln!(out, "{number:010} {:x<52}", ""));
    }
    workloads::or_exit("stdout", out.flush());
}
