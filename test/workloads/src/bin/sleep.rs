//! Says `sleeping`, sleeps for the time given, says `awake`.
//!
//! usage: sleep SECONDS (fractions are fine)

use std::io::{Write, stdout};
use std::{thread, time::Duration};

fn main() {
    let seconds: f64 = workloads::argument(1, "sleep SECONDS");
    println!("sleeping");
    workloads::or_exit("stdout", stdout().flush());
    thread::sleep(Duration::from_secs_f64(seconds));
    println!("awake");
}
