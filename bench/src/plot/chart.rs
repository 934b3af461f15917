//! What a plot shows, without how it looks.

/// A value with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Point {
    /// A value without a spread.
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// One colour: a point for each category, where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub points: Vec<Option<Point>>,
    /// Whether the others are compared with it.
    pub reference: bool,
}

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A group of bars for each category, one below the other.
    Bars,
    /// A line for each series over the categories, which are in an order.
    Lines,
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub title: String,
    /// What the values are, and what is better.
    pub axis: String,
    /// What the categories are; for lines.
    pub category: String,
    /// Where and when it was measured.
    pub note: String,
    pub layout: Layout,
    /// Whether equal distances are equal factors.
    pub logarithmic: bool,
    /// A value to compare with, and its name.
    pub mark: Option<(f64, String)>,
    pub categories: Vec<String>,
    pub series: Vec<Series>,
}

impl Chart {
    /// The lowest and the highest of all values and their spreads, the mark among them.
    pub fn range(&self) -> (f64, f64) {
        let points = self.series.iter().flat_map(|series| series.points.iter().flatten());
        let values = points.flat_map(|point| [point.low, point.high]).chain(self.mark.as_ref().map(|mark| mark.0));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    }
}
