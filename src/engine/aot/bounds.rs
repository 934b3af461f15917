//! What compilations may take of the node, all together and each one.

use std::{fs, time::Duration};

use wasmedge_shim_protocol::Aot;

use super::cgroup;
use crate::wasm::code_size;

/// Least memory of all compilers together, in bytes, where the options do not say.
const LEAST: u64 = 512 << 20;

/// Most that one compilation may have mapped, in bytes.
const MOST: u64 = 8 << 30;

/// What the compiler has mapped before it begins, and needs for any module, in bytes: the libraries are 300 MB of it.
const ALWAYS: u64 = 768 << 20;

/// Bytes that it takes for each byte of code, at the level that takes most; the largest measured is a third of it.
const PER_BYTE: u64 = 600;

/// The same of memory that is really used.
const USED: (u64, u64) = (64 << 20, 200);

/// Bytes of WebAssembly code a second that the compiler gets through without optimization, on a fast and idle machine.
const PACE: u64 = 1_500_000;

/// Of all compilers, from the runtime's options.
pub fn of_all(aot: &Aot) -> cgroup::Bounds {
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let memory = match aot.compilers_mib {
        0 => (node_memory() / 4).max(LEAST),
        mib => u64::from(mib) << 20,
    };
    let processors = if aot.compilers == 0 { (processors / 2).max(1) } else { aot.compilers.into() };
    cgroup::Bounds { memory, processors }
}

/// Most bytes of address space for a compilation of so many bytes of code.
pub fn address_space(code: u64) -> u64 {
    ALWAYS.saturating_add(code.saturating_mul(PER_BYTE)).min(MOST)
}

/// How many bytes of memory it will take, about.
pub fn estimate(code: u64) -> u64 {
    USED.0.saturating_add(code.saturating_mul(USED.1))
}

/// How long compiling so many bytes of code without optimization takes.
pub fn without_optimization(code: u64) -> Duration {
    Duration::from_millis(code.saturating_mul(1000) / PACE)
}

/// Whether a module is compiled without optimization in as much time as somebody waits for it.
pub fn is_soon_done(module: &[u8], aot: &Aot) -> bool {
    without_optimization(code_size(module)) <= Duration::from_millis(aot.wait_millis.into())
}

/// All memory of the node, in bytes.
fn node_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB"));
    total.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_bound_all_compilers_and_half_of_the_processors_do_where_they_say_nothing() {
        let usual = of_all(&Aot::default());
        assert!(usual.processors >= 1 && usual.memory >= LEAST);
        assert!(usual.processors <= std::thread::available_parallelism().unwrap().get() as u64);
        let set = of_all(&Aot { compilers: 3, compilers_mib: 700, ..Aot::default() });
        assert_eq!(set, cgroup::Bounds { memory: 700 << 20, processors: 3 });
    }

    #[test]
    fn a_larger_module_may_take_more_memory_but_not_any_amount() {
        assert!(address_space(0) < address_space(1 << 20));
        assert_eq!(address_space(u64::MAX), MOST);
        assert!(estimate(1 << 20) < address_space(1 << 20));
    }
}
