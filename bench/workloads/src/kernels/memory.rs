//! Memory, rather than the processor.

use std::hint::black_box;

use super::{Once, Random, fold};

/// Fills, copies and moves 4 MB.
pub fn copy() -> Once {
    const SIZE: usize = 4 << 20;
    let mut random = Random::new();
    let from: Vec<u8> = (0..4096).flat_map(|_| random.next().to_le_bytes()).collect();
    let mut to = vec![0u8; SIZE];
    Box::new(move || {
        let to = black_box(&mut to);
        to.fill(0x5a);
        for part in to.chunks_exact_mut(2 * from.len()) {
            part[..from.len()].copy_from_slice(&from);
        }
        to.copy_within(..SIZE - 12_345, 12_345);
        fold(to.iter().step_by(65_521).map(|byte| u64::from(*byte)))
    })
}

/// Follows 100,000 links of a ring that goes through 256 kB in no order: more would measure who else uses the caches.
pub fn chase() -> Once {
    let mut random = Random::new();
    let mut next: Vec<u32> = (0..65_536).collect();
    // Sattolo's shuffle: one ring through all.
    for index in (1..next.len()).rev() {
        next.swap(index, random.below(index));
    }
    Box::new(move || {
        let next = black_box(&next);
        let mut place = 0;
        for _ in 0..100_000 {
            place = next[place as usize];
        }
        u64::from(place)
    })
}
