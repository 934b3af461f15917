//! Computes one kernel many times over and says how long that took: `NAME CHECKSUM ALL MEDIAN`. The checksum is that of
//! one repetition, the same on every machine. The times are the monotonic clock's, in nanoseconds: of all repetitions
//! together, without the preparations, and the median of them, which heeds no repetition that was interrupted.
//!
//! usage: kernels NAME REPETITIONS
//!        kernels list

mod kernels;

use std::time::Instant;

const USAGE: &str = "kernels NAME REPETITIONS | kernels list";

fn main() {
    let name: String = workloads::argument(1, USAGE);
    if name == "list" {
        kernels::ALL.iter().for_each(|kernel| println!("{}", kernel.0));
        return;
    }
    let repetitions: u32 = workloads::argument(2, USAGE);
    let Some((_, prepare)) = kernels::ALL.iter().find(|kernel| kernel.0 == name) else { workloads::usage(USAGE) };
    let mut once = prepare();

    let mut checksum = None;
    let mut times = Vec::with_capacity(repetitions as usize);
    for _ in 0..repetitions {
        let begin = Instant::now();
        let this = once();
        times.push(begin.elapsed().as_nanos());
        assert_eq!(*checksum.get_or_insert(this), this, "a repetition has another result");
    }
    times.sort_unstable();
    let (all, median) = (times.iter().sum::<u128>(), times.get(times.len() / 2).copied().unwrap_or_default());
    println!("{name} {:016x} {all} {median}", checksum.unwrap_or_default());
}
