//! The kernels. Each prepares its input, and then computes the same result again and again, within about a millisecond
//! natively.

mod float;
mod integer;
mod memory;
mod simd;
mod text;

/// One repetition; returns a checksum of its result.
pub type Once = Box<dyn FnMut() -> u64>;

/// Every kernel's name and preparation.
pub const ALL: [(&str, fn() -> Once); 11] = [
    ("sieve", integer::sieve),
    ("sort", integer::sort),
    ("hashmap", integer::hashmap),
    ("sha256", integer::sha256),
    ("nbody", float::nbody),
    ("mandelbrot", float::mandelbrot),
    ("matmul-simd", simd::matmul),
    ("copy", memory::copy),
    ("chase", memory::chase),
    ("json", text::json),
    ("regex", text::regex),
];

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
