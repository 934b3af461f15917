//! OpenMetrics' text format (OpenMetrics 1.0, "Text format").

use std::fmt::{Display, Write};

/// Most bytes that a label's value has; what is longer is cut.
const LABEL: usize = 256;

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// What only grows.
    Counter,
    /// What goes up and down.
    Gauge,
    /// How many were within each bound.
    Histogram,
    /// Text in labels.
    Info,
}

/// A document under way.
#[derive(Default)]
pub struct Document {
    text: String,
}

/// A family of the document, whose samples are added one after the other.
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    suffix: &'static str,
    /// What comes before the first sample: a family without one is left out.
    head: String,
}

/// Labels of a sample: names, which are ours, and values.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Document {
    /// Begins a family. `unit` is the end of its name, or empty.
    pub fn family(&mut self, name: &'static str, of: Type, unit: &str, help: &str) -> Family<'_> {
        let (word, suffix) = match of {
            Type::Counter => ("counter", "_total"),
            Type::Gauge => ("gauge", ""),
            Type::Histogram => ("histogram", ""),
            Type::Info => ("info", "_info"),
        };
        let unit = if unit.is_empty() { String::new() } else { format!("# UNIT {name} {unit}\n") };
        let head = format!("# TYPE {name} {word}\n{unit}# HELP {name} {help}\n");
        Family { text: &mut self.text, name, suffix, head }
    }

    /// The whole of it.
    pub fn end(mut self) -> String {
        self.text.push_str("# EOF\n");
        self.text
    }
}

impl Family<'_> {
    /// Adds a sample.
    pub fn add(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        let suffix = self.suffix;
        self.sample(suffix, labels, None, value)
    }

    /// Adds a histogram: how many there were within each bound and not the one before, their number and their sum.
    pub fn histogram(
        &mut self,
        labels: Labels<'_>,
        within: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) -> &mut Self {
        let mut so_far = 0;
        for (bound, number) in within {
            so_far += number;
            self.sample("_bucket", labels, Some(&format!("{bound:?}")), so_far);
        }
        self.sample("_bucket", labels, Some("+Inf"), count);
        self.sample("_count", labels, None, count).sample("_sum", labels, None, sum)
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) -> &mut Self {
        self.text.push_str(&std::mem::take(&mut self.head));
        // There is room for it.
        let _ = write!(self.text, "{}{suffix}", self.name);
        let bound = bound.map(|bound| ("le", bound));
        let mut before = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            let _ = write!(self.text, "{before}{name}=\"");
            escape(value, self.text);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
        self
    }
}

/// What parsers would take for another thing is escaped; what people would, too.
fn escape(value: &str, text: &mut String) {
    let mut length = 0;
    for letter in value.chars() {
        length += letter.len_utf8();
        if length > LABEL {
            return;
        }
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other if other.is_control() => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_as_the_format_has_it() {
        let mut document = Document::default();
        document.family("a_seconds", Type::Counter, "seconds", "Time.").add(&[("of", "x\"\\\n")], 1.5);
        document.family("b", Type::Gauge, "", "A thing.").add(&[], 7);
        document.family("c", Type::Histogram, "", "Times.").histogram(
            &[("of", "y")],
            [(0.005, 2), (1.0, 1)].into_iter(),
            4,
            9.0,
        );
        let text = "\
# TYPE a_seconds counter
# UNIT a_seconds seconds
# HELP a_seconds Time.
a_seconds_total{of=\"x\\\"\\\\\\n\"} 1.5
# TYPE b gauge
# HELP b A thing.
b 7
# TYPE c histogram
# HELP c Times.
c_bucket{of=\"y\",le=\"0.005\"} 2
c_bucket{of=\"y\",le=\"1.0\"} 3
c_bucket{of=\"y\",le=\"+Inf\"} 4
c_count{of=\"y\"} 4
c_sum{of=\"y\"} 9
# EOF
";
        assert_eq!(document.end(), text);
    }

    proptest! {
        #[test]
        fn whatever_a_label_s_value_is_the_document_can_be_parsed(value in "\\PC*|[\\x00-\\x7f]{0,300}") {
            let mut document = Document::default();
            document.family("a", Type::Gauge, "", "A thing.").add(&[("of", &value)], 1);
            let text = document.end();
            openmetrics_parser::openmetrics::parse_openmetrics(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        }
    }
}
