//! How much a quantity grows: a line through samples by least squares.
//!
//! A host that is killed is followed by another one, so samples come in groups, one for each process, which may begin
//! at different heights: the slope is common to all groups, the height is each group's own.

use std::collections::BTreeMap;

/// In its first so many lifecycles a process warms up: it meets what it has not done before, and keeps room for it.
const WARM_UP: f64 = 250.0;

/// Samples of one quantity.
#[derive(Default)]
pub struct Samples {
    /// By process (pid and start): how many lifecycles there have been, and how much it was.
    groups: BTreeMap<(i32, u64), Vec<(f64, f64)>>,
}

/// How much it grows with a thousand lifecycles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// The best line's.
    pub per_thousand: f64,
    /// How far off that may be: one standard error.
    pub error: f64,
}

impl Samples {
    /// One more sample of a process.
    pub fn add(&mut self, process: (i32, u64), lifecycles: f64, quantity: f64) {
        self.groups.entry(process).or_default().push((lifecycles, quantity));
    }

    /// The slope of what is warm; `None` without samples enough: three of one process.
    pub fn slope(&self) -> Option<Slope> {
        let groups: Vec<&[(f64, f64)]> = self.groups.values().map(|group| &group[warm(group)..]).collect();
        let groups: Vec<_> = groups.into_iter().filter(|group| group.len() > 1).collect();
        let (mut xx, mut xy, mut yy, mut free) = (0.0, 0.0, 0.0, -1.0);
        for group in groups {
            let count = group.len() as f64;
            let mean_x = group.iter().map(|(x, _)| x).sum::<f64>() / count;
            let mean_y = group.iter().map(|(_, y)| y).sum::<f64>() / count;
            for (x, y) in group {
                xx += (x - mean_x).powi(2);
                xy += (x - mean_x) * (y - mean_y);
                yy += (y - mean_y).powi(2);
            }
            free += count - 1.0;
        }
        if xx == 0.0 || free < 1.0 {
            return None;
        }
        let slope = xy / xx;
        let error = ((yy - slope * xy).max(0.0) / free / xx).sqrt();
        Some(Slope { per_thousand: slope * 1000.0, error: error * 1000.0 })
    }

    /// By how much a process has grown while it warmed up, at most.
    pub fn warming(&self) -> f64 {
        let grown = |group: &Vec<(f64, f64)>| {
            let most = group[..warm(group)].iter().map(|(_, quantity)| *quantity).fold(f64::MIN, f64::max);
            most - group.first().map_or(most, |(_, quantity)| *quantity)
        };
        self.groups.values().map(grown).fold(0.0, f64::max)
    }
}

/// How many of a process's samples are of when it warmed up.
fn warm(group: &[(f64, f64)]) -> usize {
    let first = group.first().map_or(0.0, |(lifecycles, _)| *lifecycles);
    group.partition_point(|(lifecycles, _)| lifecycles - first < WARM_UP)
}

impl Slope {
    /// Whether it is certainly above a bound: by more than what chance explains (two standard errors).
    pub fn is_above(self, bound: f64) -> bool {
        self.per_thousand - 2.0 * self.error > bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_a_slope_in_common_and_heights_of_their_own() {
        let mut samples = Samples::default();
        for x in 0..10 {
            let x = f64::from(x);
            // What comes while it warms up is not the slope's.
            let more = if x < 2.5 { x * 50.0 } else { 200.0 };
            samples.add((1, 1), x * 100.0, 5.0 + x * 2.0 + more);
            samples.add((2, 1), x * 100.0 + 1000.0, 900.0 + x * 2.0 + more);
        }
        assert_eq!(samples.warming(), 104.0);
        let slope = samples.slope().unwrap();
        assert!((slope.per_thousand - 20.0).abs() < 1e-6 && slope.error < 1e-3, "{slope:?}");
        assert!(slope.is_above(19.0) && !slope.is_above(21.0));
    }

    #[test]
    fn what_goes_up_and_down_is_flat_and_few_samples_tell_nothing() {
        let mut samples = Samples::default();
        samples.add((1, 1), 0.0, 1.0);
        samples.add((1, 1), 1.0, 1.0);
        assert_eq!(samples.slope(), None);
        for x in 0..200 {
            samples.add((1, 1), f64::from(x), f64::from(x % 2));
        }
        assert_eq!(samples.slope(), None, "it warms up");
        for x in 200..400 {
            samples.add((1, 1), f64::from(x), f64::from(x % 2));
        }
        assert!(!samples.slope().unwrap().is_above(2.0));
    }
}
