//! Numbers with a fraction, 64 bits wide. Nothing here depends on more than IEEE 754 lays down, so every machine has the
//! same result.

use std::hint::black_box;

use super::{Once, fold};

/// The Sun and four planets: place, velocity, mass (Computer Language Benchmarks Game, `nbody`).
const BODIES: [([f64; 3], [f64; 3], f64); 5] = [
    ([0.0; 3], [0.0; 3], 39.478_417_604_357_43),
    (
        [4.841_431_442_464_721, -1.160_320_044_027_428_4, -0.103_622_044_471_123_11],
        [0.606_326_392_995_832, 2.811_986_844_916_26, -0.025_218_361_659_887_63],
        0.037_693_674_870_389_49,
    ),
    (
        [8.343_366_718_244_58, 4.124_798_564_124_305, -0.403_523_417_114_321],
        [-1.010_774_346_178_792_4, 1.825_662_371_230_411_9, 0.008_415_761_376_584_154],
        0.011_286_326_131_968_767,
    ),
    (
        [12.894_369_562_139_131, -15.111_151_401_698_631, -0.223_307_578_892_655_73],
        [1.082_791_006_441_535_4, 0.868_713_018_169_608_2, -0.010_832_637_401_363_636],
        0.001_723_724_057_059_711_2,
    ),
    (
        [15.379_697_114_850_917, -25.919_314_609_987_964, 0.179_258_772_950_371_2],
        [0.979_090_732_243_898, 0.594_698_998_647_676_1, -0.034_755_955_504_078_104],
        0.002_033_686_869_924_631,
    ),
];

/// The planets' way for 10,000 steps.
pub fn nbody() -> Once {
    Box::new(|| {
        let mut bodies = black_box(BODIES);
        for _ in 0..10_000 {
            step(&mut bodies, 0.01);
        }
        fold(bodies.iter().flat_map(|body| body.0).map(f64::to_bits))
    })
}

fn step(bodies: &mut [([f64; 3], [f64; 3], f64); 5], time: f64) {
    for first in 0..bodies.len() {
        for second in first + 1..bodies.len() {
            let (head, tail) = bodies.split_at_mut(second);
            let (one, other) = (&mut head[first], &mut tail[0]);
            let apart = [one.0[0] - other.0[0], one.0[1] - other.0[1], one.0[2] - other.0[2]];
            let square = apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2];
            let pull = time / (square * square.sqrt());
            for axis in 0..3 {
                one.1[axis] -= apart[axis] * other.2 * pull;
                other.1[axis] += apart[axis] * one.2 * pull;
            }
        }
    }
    for (place, velocity, _) in bodies {
        for axis in 0..3 {
            place[axis] += time * velocity[axis];
        }
    }
}

/// Mandelbrot's set on 64 × 64 points, up to 200 iterations each.
pub fn mandelbrot() -> Once {
    Box::new(|| {
        let size = black_box(64);
        fold((0..size * size).map(|point| {
            let real = f64::from(point % size) / f64::from(size) * 3.0 - 2.0;
            let imaginary = f64::from(point / size) / f64::from(size) * 2.0 - 1.0;
            escape(real, imaginary)
        }))
    })
}

fn escape(real: f64, imaginary: f64) -> u64 {
    let (mut x, mut y) = (0.0, 0.0);
    for iteration in 0..200 {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return iteration;
        }
        (x, y) = (xx - yy + real, 2.0 * x * y + imaginary);
    }
    200
}
