//! WasmEdge's counters of what a program does. They are read while it runs, by handlers of signals as well.

use std::sync::atomic::{AtomicPtr, Ordering};

use wasmedge_sys::ffi;

use super::gauges;

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

impl Counters {
    /// By WasmEdge's own. Native code adds its instructions up when a function ends, its gas in each turn of a loop as well.
    pub fn new(instructions: u64, gas: u64) -> Self {
        Self { instructions: instructions.max(gas), gas }
    }
}

/// Counters for the program that this process is about to run. They stay until the process ends.
pub fn start() -> *mut ffi::WasmEdge_StatisticsContext {
    // SAFETY: makes a context.
    let statistics = unsafe { ffi::WasmEdge_StatisticsCreate() };
    // SAFETY: nobody else has the context yet.
    if let Some(addresses) = unsafe { addresses(statistics) } {
        gauges::set_counters(addresses);
    }
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
        let instructions = ffi::WasmEdge_StatisticsGetInstrCount(statistics);
        Some(Counters::new(instructions, ffi::WasmEdge_StatisticsGetTotalCost(statistics)))
    }
}

/// Where the counters of instructions and of gas are; `None` where that cannot be found out.
///
/// The C API has functions that read them, and does not say where they are. So each place of the context is changed, and one
/// whose change a function sees is what it reads.
///
/// # Safety
/// As for [`address_of`].
unsafe fn addresses(statistics: *mut ffi::WasmEdge_StatisticsContext) -> Option<[u64; 2]> {
    // SAFETY: the caller's promise; both functions read one integer.
    unsafe {
        let instructions = address_of(statistics, ffi::WasmEdge_StatisticsGetInstrCount)?;
        Some([instructions, address_of(statistics, ffi::WasmEdge_StatisticsGetTotalCost)?])
    }
}

/// # Safety
/// The context must be alive, a block of the allocator's, and in nobody's use; `getter` must read one integer of it.
unsafe fn address_of(
    statistics: *mut ffi::WasmEdge_StatisticsContext,
    getter: unsafe extern "C" fn(*const ffi::WasmEdge_StatisticsContext) -> u64,
) -> Option<u64> {
    const MARK: u64 = 0x5741_534d_4544_4745;
    // SAFETY: the caller's promise; no more is touched than the block has.
    unsafe {
        let words = libc::malloc_usable_size(statistics.cast()) / size_of::<u64>();
        let places = (0..words).map(|word| statistics.cast::<u64>().add(word));
        let reads = |place: &*mut u64| {
            let before = place.read_volatile();
            place.write_volatile(before ^ MARK);
            let seen = getter(statistics);
            place.write_volatile(before);
            seen == before ^ MARK && getter(statistics) == before
        };
        places.into_iter().find(reads).map(|place| place.addr() as u64)
    }
}
