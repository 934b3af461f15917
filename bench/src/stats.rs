//! Figures of samples. All functions answer NaN for no samples.

use serde::Serialize;

/// Resamplings of a bootstrap, enough for two digits of a 95 % interval.
const RESAMPLINGS: usize = 2000;

/// Percentiles and the spread of samples, in their unit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    /// Median absolute deviation from the median.
    pub mad: f64,
}

/// Summarises the samples.
pub fn summary(samples: &[f64]) -> Summary {
    let p50 = percentile(samples, 50.0);
    let deviations: Vec<f64> = samples.iter().map(|sample| (sample - p50).abs()).collect();
    Summary { p50, p95: percentile(samples, 95.0), p99: percentile(samples, 99.0), mad: percentile(&deviations, 50.0) }
}

/// The percentile `p` (0 to 100), between two samples by linear interpolation.
pub fn percentile(samples: &[f64], p: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = p / 100.0 * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Between two infinite ones, as ratios to nothing are, there is no difference to take.
    if below == above { below } else { below + (above - below) * place.fract() }
}

/// The smallest sample.
pub fn least(samples: &[f64]) -> f64 {
    percentile(samples, 0.0)
}

/// The geometric mean of positive numbers.
pub fn geometric_mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value.ln();
        count += 1.0;
    }
    (sum / count).exp()
}

/// A ratio of medians with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    pub ratio: f64,
    pub low: f64,
    pub high: f64,
}

/// The median of `samples` over that of `reference`, both taken round by round. The interval is a percentile bootstrap
/// over whole rounds, so what slowed both in a round does not widen it. The same samples give the same interval.
pub fn ratio(samples: &[f64], reference: &[f64]) -> Ratio {
    let rounds = samples.len().min(reference.len());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut ratios = Vec::with_capacity(RESAMPLINGS);
    for _ in 0..RESAMPLINGS {
        let chosen: Vec<usize> = (0..rounds).map(|_| random.below(rounds)).collect();
        let median = |of: &[f64]| percentile(&chosen.iter().map(|round| of[*round]).collect::<Vec<_>>(), 50.0);
        ratios.push(median(samples) / median(reference));
    }
    Ratio {
        ratio: percentile(samples, 50.0) / percentile(reference, 50.0),
        low: percentile(&ratios, 2.5),
        high: percentile(&ratios, 97.5),
    }
}

/// xorshift64*: as random as a bootstrap needs, and without a seed from outside.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_the_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(percentile(&samples, 50.0), 3.0);
        assert_eq!(percentile(&samples, 100.0), 5.0);
        assert!((percentile(&samples, 95.0) - 4.8).abs() < 1e-9);
        assert!(percentile(&[], 50.0).is_nan());
        assert_eq!(percentile(&[1.0, f64::INFINITY, f64::INFINITY], 75.0), f64::INFINITY);
    }

    #[test]
    fn half_and_double_have_the_geometric_mean_one() {
        assert!((geometric_mean([0.5, 2.0, 1.0].into_iter()) - 1.0).abs() < 1e-9);
        assert!(geometric_mean([].into_iter()).is_nan());
    }

    #[test]
    fn one_outlier_does_not_move_the_spread() {
        let summary = summary(&[1.0, 2.0, 3.0, 4.0, 1000.0]);
        assert_eq!((summary.p50, summary.mad), (3.0, 1.0));
    }

    #[test]
    fn the_interval_holds_the_ratio_and_narrows_to_it_without_noise() {
        let reference: Vec<f64> = (0..50).map(|round| 10.0 + f64::from(round % 7)).collect();
        let samples: Vec<f64> = (0..50).map(|round| 5.0 + f64::from(round % 5)).collect();
        let noisy = ratio(&samples, &reference);
        assert!(noisy.low <= noisy.ratio && noisy.ratio <= noisy.high && noisy.low < noisy.high);
        let halves: Vec<f64> = reference.iter().map(|value| value / 2.0).collect();
        let exact = ratio(&halves, &reference);
        assert_eq!((exact.low, exact.high), (0.5, 0.5));
    }
}
