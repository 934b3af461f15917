//! The plots that a run gives.

use super::chart::{Chart, Layout, Point, Series};
use crate::kernels;
use crate::record::Record;
use crate::report::{STEPS, rates, times};
use crate::stats::{self, Ratio, percentile};

/// Each plot with the name of its file.
pub fn all(record: &Record) -> Vec<(&'static str, Chart)> {
    let note = note(record);
    let charts = [
        ("latency", latency(record, &note)),
        ("throughput", throughput(record, &note)),
        ("memory", memory(record, &note)),
        ("kernels", kernels(record, &note)),
    ];
    charts
        .into_iter()
        .filter_map(|(name, chart)| Some((name, chart.filter(|chart| !chart.series.is_empty())?)))
        .collect()
}

fn note(record: &Record) -> String {
    let date = record.date.split('T').next().unwrap_or_default();
    format!("{} × {}, Linux {}, {date}", record.machine.cpus, record.machine.cpu, record.machine.kernel)
}

fn point(ratio: &Ratio) -> Point {
    Point { value: ratio.ratio, low: ratio.low, high: ratio.high }
}

/// Median, lowest, highest.
fn spread(samples: &[f64]) -> Point {
    let [low, value, high] = [0.0, 50.0, 100.0].map(|place| percentile(samples, place));
    Point { value, low, high }
}

fn latency(record: &Record, note: &str) -> Option<Chart> {
    let first = record.latency.first()?;
    let steps: Vec<_> = STEPS.into_iter().filter(|(step, _)| *step != "exit").collect();
    let series = record.latency[1..].iter().map(|result| Series {
        name: result.subject.short_name(),
        points: steps
            .iter()
            .map(|(_, step)| Some(point(&stats::ratio(&times(result, *step), &times(first, *step)))))
            .collect(),
        reference: false,
    });
    Some(Chart {
        title: "Time of a short task".into(),
        axis: format!("median, to {}'s; less is better", first.subject.short_name()),
        category: String::new(),
        note: format!("{note}; bars show 95 % intervals"),
        layout: Layout::Bars,
        logarithmic: false,
        mark: Some((1.0, first.subject.short_name())),
        categories: steps.iter().map(|(step, _)| step.trim_matches('*').to_owned()).collect(),
        series: series.collect(),
    })
}

fn throughput(record: &Record, note: &str) -> Option<Chart> {
    let counts = sorted(record.throughput.iter().map(|result| result.parallel));
    let subjects = distinct(record.throughput.iter().map(|result| &result.subject));
    let series = subjects.iter().enumerate().map(|(index, subject)| {
        let at = |count: &usize| {
            let found = record.throughput.iter().find(|one| one.subject == **subject && one.parallel == *count)?;
            Some(spread(&rates(found)))
        };
        Series { name: subject.short_name(), points: counts.iter().map(at).collect(), reference: index == 0 }
    });
    (!counts.is_empty()).then(|| Chart {
        title: "Short tasks per second".into(),
        axis: "tasks per second; more is better".into(),
        category: "tasks at a time".into(),
        note: format!("{note}; median, lowest and highest round"),
        layout: Layout::Lines,
        logarithmic: false,
        mark: None,
        categories: counts.iter().map(usize::to_string).collect(),
        series: series.collect(),
    })
}

fn memory(record: &Record, note: &str) -> Option<Chart> {
    let alone: Vec<_> = record.idle.iter().filter(|result| !result.pod).collect();
    let counts = sorted(alone.iter().map(|result| result.containers));
    let subjects = distinct(alone.iter().map(|result| &result.subject));
    let series = subjects.iter().enumerate().map(|(index, subject)| {
        let at = |count: &usize| {
            let found = alone.iter().find(|one| one.subject == **subject && one.containers == *count)?;
            Some(Point::exact(found.pss_per_container() as f64 / 1e6))
        };
        Series { name: subject.short_name(), points: counts.iter().map(at).collect(), reference: index == 0 }
    });
    (!counts.is_empty()).then(|| Chart {
        title: "Memory of a sleeping container, shim and engine included".into(),
        axis: "PSS per container, MB; less is better".into(),
        category: "containers".into(),
        note: note.to_owned(),
        layout: Layout::Lines,
        logarithmic: false,
        mark: None,
        categories: counts.iter().map(usize::to_string).collect(),
        series: series.collect(),
    })
}

fn kernels(record: &Record, note: &str) -> Option<Chart> {
    let first = &record.kernels.first()?.variant;
    let compared = kernels::compare(&record.kernels);
    let ours = record.kernels.iter().filter(|kernel| kernel.variant == *first);
    let mut categories: Vec<_> = ours.map(|kernel| kernel.kernel.clone()).collect();
    categories.push("geometric mean".into());
    // Two runtimes may have the same variants.
    let runtimes = distinct(compared.iter().map(|one| &one.variant.subject.runtime)).len();
    let series = compared.iter().rev().map(|one| {
        let ratios = one.ratios.iter().map(|(_, ratio)| Some(point(ratio)));
        let runtime = if runtimes > 1 { format!("{}, ", one.variant.subject.short_name()) } else { String::new() };
        Series {
            name: format!("{runtime}{}", one.variant.name),
            points: ratios.chain([Some(Point::exact(one.geometric_mean))]).collect(),
            reference: false,
        }
    });
    Some(Chart {
        title: "Compute kernels in Wasm, to the same source as a Linux program".into(),
        axis: format!("time, to {}'s under {}; less is better", first.name, first.subject.short_name()),
        category: String::new(),
        note: format!("{note}; bars show 95 % intervals"),
        layout: Layout::Bars,
        logarithmic: true,
        mark: Some((1.0, first.name.clone())),
        categories,
        series: series.collect(),
    })
}

fn sorted(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    counts.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn distinct<'a, T: PartialEq>(all: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idle::Idle;
    use crate::proc::Memory;
    use crate::record::tests::empty;
    use crate::subject::Subject;
    use crate::throughput::{Round, Throughput};

    fn subject(runtime: &str) -> Subject {
        Subject::of_runtime(runtime)
    }

    #[test]
    fn a_run_without_measurements_has_no_plots() {
        assert!(all(&empty()).is_empty());
    }

    #[test]
    fn a_level_that_was_left_out_is_a_gap() {
        let idle = |runtime, containers| Idle {
            subject: subject(runtime),
            containers,
            pod: false,
            shims: vec![Memory { pss: 4_000_000 * containers as u64, ..Memory::default() }],
            inits: vec![],
            hosts: vec![],
            answered: containers,
            stopped: None,
        };
        let record = Record { idle: vec![idle("a", 1), idle("b", 1), idle("b", 500)], ..empty() };
        let charts = all(&record);
        let chart = &charts[0].1;
        assert_eq!(chart.categories, ["1", "500"]);
        assert_eq!(chart.series[0].points, [Some(Point::exact(4.0)), None]);
        assert_eq!(chart.series[1].points, [Some(Point::exact(4.0)), Some(Point::exact(4.0))]);
    }

    #[test]
    fn throughput_has_the_spread_of_its_rounds() {
        let rounds = [2, 4, 9].map(|tasks| Round { tasks, seconds: 2.0 }).to_vec();
        let record = Record {
            throughput: vec![Throughput { subject: subject("io.containerd.runc.v2"), parallel: 8, rounds }],
            ..empty()
        };
        let charts = all(&record);
        let series = &charts[0].1.series[0];
        assert_eq!((series.name.as_str(), series.reference), ("runc", true));
        assert_eq!(series.points, [Some(Point { value: 2.0, low: 1.0, high: 4.5 })]);
    }
}
