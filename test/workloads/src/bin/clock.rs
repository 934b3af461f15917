//! Checks that both clocks advance across a sleep of 20 ms, neither less nor wildly more, and prints what they told.
//! Exits with 1 if they do not.
//!
//! usage: clock

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let (real, monotonic) = (SystemTime::now(), Instant::now());
    thread::sleep(Duration::from_millis(20));
    let real_advance = real.elapsed().unwrap_or_default();
    let monotonic_advance = monotonic.elapsed();
    let now = real.duration_since(UNIX_EPOCH).unwrap_or_default();
    println!("realtime={}", now.as_secs());
    println!("realtime_advance_ms={}", real_advance.as_millis());
    println!("monotonic_advance_ms={}", monotonic_advance.as_millis());

    let plausible = Duration::from_millis(19)..Duration::from_secs(10);
    let year_2024 = Duration::from_secs(1_704_067_200);
    if now > year_2024
        && plausible.contains(&real_advance)
        && plausible.contains(&monotonic_advance)
    {
        ExitCode::SUCCESS
    } else {
        eprintln!("clock: implausible");
        ExitCode::FAILURE
    }
}
