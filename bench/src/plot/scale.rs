//! From values to pixels.

/// An axis of values.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    /// An axis for values from `low` to `high`, with some room. A linear one begins at 0.
    pub fn new((low, high): (f64, f64), logarithmic: bool) -> Self {
        if logarithmic {
            Self { low: low / 1.3, high: high * 1.8, logarithmic }
        } else {
            Self { low: 0.0, high: high * 1.12, logarithmic }
        }
    }

    /// Where a value lies, from 0 at the axis' beginning to 1 at its end.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high, value) = if self.logarithmic {
            (self.low.ln(), self.high.ln(), value.max(self.low).ln())
        } else {
            (self.low, self.high, value)
        };
        (value - low) / (high - low)
    }

    /// Round values along the axis, about half a dozen.
    pub fn ticks(&self) -> Vec<f64> {
        if self.logarithmic { self.decades() } else { self.steps() }
    }

    fn steps(&self) -> Vec<f64> {
        let rough = self.high / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..).map(|index| f64::from(index) * step).take_while(|value| *value <= self.high).collect()
    }

    fn decades(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        let mut power = 10f64.powf(self.low.log10().floor());
        // With many decades, only the powers of ten.
        let factors: &[f64] = if self.high / self.low > 200.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        while power <= self.high {
            ticks.extend(factors.iter().map(|factor| factor * power));
            power *= 10.0;
        }
        ticks.retain(|value| (self.low..=self.high).contains(value));
        ticks
    }
}

/// A value as one writes it: three digits, without zeros at the end.
pub fn text(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_ticks() {
        let scale = Scale::new((3.0, 10.0), false);
        assert_eq!(scale.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!((scale.place(0.0)).abs() < 1e-9 && scale.place(10.0) < 1.0);
    }

    #[test]
    fn on_a_logarithmic_axis_a_factor_is_a_distance() {
        let scale = Scale::new((0.5, 300.0), true);
        let distance = |one, other| scale.place(other) - scale.place(one);
        assert!((distance(1.0, 10.0) - distance(10.0, 100.0)).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0]);
        assert_eq!(Scale::new((0.8, 3.0), true).ticks(), [1.0, 2.0, 5.0]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(["0.5", "1", "12.3", "346"].map(String::from), [0.5, 1.0, 12.34, 345.6].map(text));
    }
}
