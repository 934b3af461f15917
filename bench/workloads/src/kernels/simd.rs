//! Four numbers at a time: SSE natively, simd128 in Wasm.

use std::hint::black_box;

use wide::f32x4;

use super::{Once, Random, fold};

const SIZE: usize = 128;

/// The product of two square matrices of 32-bit numbers.
pub fn matmul() -> Once {
    let mut random = Random::new();
    let mut matrix = || -> Vec<f32x4> {
        // Whole numbers below 16: every sum is exact.
        (0..SIZE * SIZE / 4).map(|_| f32x4::from([(); 4].map(|()| random.below(16) as f32))).collect()
    };
    let (left, right) = (matrix(), matrix());
    Box::new(move || {
        let (left, right) = (black_box(&left), black_box(&right));
        let mut product = vec![f32x4::ZERO; SIZE * SIZE / 4];
        for (row, out) in product.chunks_exact_mut(SIZE / 4).enumerate() {
            let factors = left[row * SIZE / 4..].iter().take(SIZE / 4).flat_map(|four| four.to_array());
            for (factor, line) in factors.zip(right.chunks_exact(SIZE / 4)) {
                let factor = f32x4::splat(factor);
                for (sum, value) in out.iter_mut().zip(line) {
                    *sum += factor * *value;
                }
            }
        }
        fold(product.iter().flat_map(|four| four.to_array()).map(|value| u64::from(value.to_bits())))
    })
}
