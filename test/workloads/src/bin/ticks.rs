//! Writes a number to stdout now and then, for ever: 1, 2, 3 and so on, a line each.
//!
//! usage: ticks SECONDS (between two of them; fractions are fine)

use std::io::{Write, stdout};
use std::{thread, time::Duration};

fn main() {
    let seconds: f64 = workloads::argument(1, "ticks SECONDS");
    for number in 1_u64.. {
        workloads::or_exit("stdout", writeln!(stdout(), "{number}"));
        thread::sleep(Duration::from_secs_f64(seconds));
    }
}
