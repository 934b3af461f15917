//! Whole numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;

use sha2::{Digest, Sha256};

use super::{Once, Random, fold};

/// The sieve of Eratosthenes.
pub fn sieve() -> Once {
    const LIMIT: usize = 200_000;
    Box::new(|| {
        let limit = black_box(LIMIT);
        let mut composite = vec![false; limit];
        let (mut count, mut last) = (0, 0);
        for number in 2..limit {
            if composite[number] {
                continue;
            }
            (count, last) = (count + 1, number as u64);
            let mut multiple = number * number;
            while multiple < limit {
                composite[multiple] = true;
                multiple += number;
            }
        }
        fold([count, last])
    })
}

/// Sorting of 64-bit numbers, unstable, by the standard library.
pub fn sort() -> Once {
    let mut random = Random::new();
    let numbers: Vec<u64> = (0..50_000).map(|_| random.next()).collect();
    Box::new(move || {
        let mut sorted = black_box(&numbers).clone();
        sorted.sort_unstable();
        fold(sorted.iter().step_by(997).copied())
    })
}

/// Insertions into and look-ups in the standard library's map, with its SipHash.
pub fn hashmap() -> Once {
    let mut random = Random::new();
    let keys: Vec<u64> = (0..10_000).map(|_| random.next()).collect();
    Box::new(move || {
        let mut map: HashMap<u64, u64, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        for (value, key) in (0..).zip(black_box(&keys)) {
            map.insert(*key, value);
        }
        let found = keys.iter().rev().map(|key| map.get(key).copied().unwrap_or_default());
        fold(found.chain([u64::from(map.contains_key(&1))]))
    })
}

/// SHA-256 of 256 kB, by the crate's portable code on every machine: a module cannot use the processor's instructions
/// for it.
pub fn sha256() -> Once {
    let mut random = Random::new();
    let bytes: Vec<u8> = (0..32_768).flat_map(|_| random.next().to_le_bytes()).collect();
    Box::new(move || fold(Sha256::digest(black_box(&bytes)).iter().map(|byte| u64::from(*byte))))
}
