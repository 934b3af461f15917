//! The kernels by their names.

mod float;
mod integer;
mod memory;
mod simd;
mod text;

use bench_workloads::Repeated;
pub use bench_workloads::{Once, Random, fold};

/// Every kernel's name and preparation.
pub const ALL: [Repeated; 11] = [
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
