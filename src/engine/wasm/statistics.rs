//! WasmEdge's counters of what a program does. They are read while it runs, by handlers of signals as well.

use std::sync::atomic::{AtomicPtr, Ordering};

use wasmedge_sys::ffi;

/// The counters of the program that this process runs; null while there are none.
static CURRENT: AtomicPtr<ffi::WasmEdge_StatisticsContext> = AtomicPtr::new(std::ptr::null_mut());

/// What a program has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// WebAssembly instructions.
    pub instructions: u64,
    /// Units of gas, one per instruction.
    pub gas: u64,
}

/// Counters for the program that this process is about to run. They stay until the process ends.
pub fn start() -> *mut ffi::WasmEdge_StatisticsContext {
    // SAFETY: makes a context.
    let statistics = unsafe { ffi::WasmEdge_StatisticsCreate() };
    CURRENT.store(statistics, Ordering::Release);
    statistics
}

/// What the program has done so far, where it is counted. Async-signal-safe: reads two atomic integers.
pub fn counters() -> Option<Counters> {
    let statistics = CURRENT.load(Ordering::Acquire);
    if statistics.is_null() {
        return None;
    }
    // SAFETY: a context that is never deleted.
    unsafe {
        let gas = ffi::WasmEdge_StatisticsGetTotalCost(statistics);
        // Native code adds its instructions up when a function ends, its gas in each turn of a loop as well.
        Some(Counters { instructions: ffi::WasmEdge_StatisticsGetInstrCount(statistics).max(gas), gas })
    }
}
