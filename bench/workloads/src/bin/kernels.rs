//! Compute kernels. Each prepares its input, and then computes the same result again and again, within about a millisecond
//! natively.
//!
//! usage: kernels NAME REPETITIONS
//!        kernels list

#[path = "../kernels/mod.rs"]
mod kernels;

fn main() {
    bench_workloads::repeat("kernels", &kernels::ALL);
}
