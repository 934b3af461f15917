//! Four numbers at a time: SSE natively, simd128 in Wasm.

use std::array;
use std::hint::black_box;

use wide::f32x4;

use super::{Once, Random, fold};

const SIZE: usize = 160;
/// Vectors in a row of a matrix.
const VECTORS: usize = SIZE / 4;
/// Rows, and vectors of a row, of the product that are summed up in registers.
const TILE: (usize, usize) = (4, 2);

/// The product of two square matrices of 32-bit numbers, tile by tile.
pub fn matmul() -> Once {
    let mut random = Random::new();
    // Whole numbers below 16: every sum is exact.
    let left: Vec<f32> = (0..SIZE * SIZE).map(|_| random.below(16) as f32).collect();
    let right: Vec<f32x4> =
        (0..SIZE * VECTORS).map(|_| f32x4::from([(); 4].map(|()| random.below(16) as f32))).collect();
    Box::new(move || {
        let mut product = vec![f32x4::ZERO; SIZE * VECTORS];
        multiply(black_box(&left), black_box(&right), &mut product);
        fold(product.iter().flat_map(|four| four.to_array()).map(|value| u64::from(value.to_bits())))
    })
}

fn multiply(left: &[f32], right: &[f32x4], product: &mut [f32x4]) {
    for top in (0..SIZE).step_by(TILE.0) {
        let rows: [&[f32]; TILE.0] = array::from_fn(|row| &left[(top + row) * SIZE..][..SIZE]);
        for column in (0..VECTORS).step_by(TILE.1) {
            let mut sums = [[f32x4::ZERO; TILE.1]; TILE.0];
            for (inner, line) in right.chunks_exact(VECTORS).enumerate() {
                let values = [line[column], line[column + 1]];
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let factor = f32x4::splat(row[inner]);
                    sums[0] += factor * values[0];
                    sums[1] += factor * values[1];
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                product[(top + row) * VECTORS + column..][..TILE.1].copy_from_slice(sums);
            }
        }
    }
}
