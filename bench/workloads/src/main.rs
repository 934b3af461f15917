//! Computes one kernel many times over and says how long that took: `NAME CHECKSUM NANOSECONDS`. The checksum is that
//! of one repetition, the same on every machine; the time is the monotonic clock's, without the preparations.
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
    let begin = Instant::now();
    for _ in 0..repetitions {
        let this = once();
        assert_eq!(*checksum.get_or_insert(this), this, "a repetition has another result");
    }
    let nanoseconds = begin.elapsed().as_nanos();
    println!("{name} {:016x} {nanoseconds}", checksum.unwrap_or_default());
}
