//! Letting the host see that a worker waits for a compiler, which may take longer than a worker may otherwise.

use std::{ffi::CStr, time::Instant};

use nix::sys::prctl;

use crate::noted;

/// The process's name meanwhile, for the host and for ps(1).
pub const WAITS_FOR_COMPILER: &CStr = c"wasmedge-waits";

/// Does `work`, which may wait for a compiler.
pub fn while_compiling<T>(work: impl FnOnce() -> T) -> T {
    let before = prctl::get_name();
    // Whoever cannot be named so has less time.
    let _ = prctl::set_name(WAITS_FOR_COMPILER);
    let begin = Instant::now();
    let done = work();
    noted::waited(begin.elapsed());
    if let Ok(before) = before {
        let _ = prctl::set_name(&before);
    }
    done
}
