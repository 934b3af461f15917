//! What the programs that are measured share: how a repetition is timed, and input that looks random.

use std::time::Instant;

/// One repetition; returns a checksum of its result.
pub type Once = Box<dyn FnMut() -> u64>;

/// What is repeated: its name and its preparation.
pub type Repeated = (&'static str, fn() -> Once);

/// Does one of `all` many times over and says how long that took: `NAME CHECKSUM ALL MEDIAN`. The checksum is that of one
/// repetition, the same on every machine. The times are the monotonic clock's, in nanoseconds: of all repetitions together,
/// without the preparations, and the median of them, which heeds no repetition that was interrupted.
///
/// The arguments are `NAME REPETITIONS`, or `list` for the names.
pub fn repeat(program: &str, all: &[Repeated]) {
    let usage = format!("{program} NAME REPETITIONS | {program} list");
    let name: String = workloads::argument(1, &usage);
    if name == "list" {
        all.iter().for_each(|one| println!("{}", one.0));
        return;
    }
    let repetitions: u32 = workloads::argument(2, &usage);
    let Some((_, prepare)) = all.iter().find(|one| one.0 == name) else { workloads::usage(&usage) };
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

/// xorshift64*: input that looks random and is the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is small.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }
}

/// Folds `values` into one number that depends on their order.
pub fn fold(values: impl IntoIterator<Item = u64>) -> u64 {
    values.into_iter().fold(0, |sum, value| (sum ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(5))
}
