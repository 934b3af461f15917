//! How a plot looks.

use anyhow::Result;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor};

use super::chart::{Chart, Layout, Point};
use super::scale::{self, Scale};
use super::theme::Theme;

const WIDTH: i32 = 760;
/// Height of the plot's area with lines.
const LINES: i32 = 280;
const BAR: i32 = 14;
/// Between the bars of two categories.
const GAP: i32 = 12;
const MARGIN: i32 = 20;
/// Above the plot's area: title and legend.
const TOP: i32 = 98;
/// Below it: ticks, their meaning, the note.
const BOTTOM: i32 = 70;
/// Half the width of the lines across a spread's ends.
const SERIF: i32 = 4;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Place = (i32, i32);

/// The plot as an SVG document.
pub fn svg(chart: &Chart, theme: &Theme) -> Result<String> {
    let mut text = String::new();
    let rows = chart.categories.len() as i32;
    let height = match chart.layout {
        Layout::Bars => rows * (chart.series.len() as i32 * BAR + GAP) + GAP,
        Layout::Lines => LINES,
    };
    {
        let size = (WIDTH as u32, (TOP + height + BOTTOM) as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let longest = chart.categories.iter().map(|name| width(name, 13)).max().unwrap_or_default();
        let left = MARGIN + if chart.layout == Layout::Bars { longest + 10 } else { 46 };
        let scale = Scale::new(chart.range(), chart.logarithmic);
        let frame = Frame { area, chart, theme, scale, left, height };
        frame.draw()?;
        frame.area.present()?;
    }
    Ok(text)
}

/// A sans-serif font's, roughly.
fn width(text: &str, size: i32) -> i32 {
    text.chars().count() as i32 * size * 11 / 20
}

struct Frame<'a> {
    area: Area<'a>,
    chart: &'a Chart,
    theme: &'a Theme,
    scale: Scale,
    /// Where the plot's area begins.
    left: i32,
    height: i32,
}

impl Frame<'_> {
    fn draw(&self) -> Result<()> {
        self.area.fill(&self.theme.background)?;
        self.text(&self.chart.title, (MARGIN, 24), 18, HPos::Left)?;
        self.text(&self.chart.note, (MARGIN, TOP + self.height + BOTTOM - 14), 11, HPos::Left)?;
        self.legend()?;
        match self.chart.layout {
            Layout::Bars => self.bars(),
            Layout::Lines => self.lines(),
        }
    }

    fn legend(&self) -> Result<()> {
        let mut left = MARGIN;
        for (index, series) in self.chart.series.iter().enumerate() {
            let color = self.color(index);
            self.area.draw(&Rectangle::new([(left, 48), (left + 12, 60)], color.filled()))?;
            self.text(&series.name, (left + 18, 54), 13, HPos::Left)?;
            left += 18 + width(&series.name, 13) + 24;
        }
        Ok(())
    }

    fn bars(&self) -> Result<()> {
        let bottom = TOP + self.height;
        let across = |value| self.left + (self.scale.place(value) * f64::from(WIDTH - MARGIN - self.left)) as i32;
        for tick in self.scale.ticks() {
            self.line(&[(across(tick), TOP), (across(tick), bottom)], self.theme.grid)?;
            self.text(&scale::text(tick), (across(tick), bottom + 12), 12, HPos::Center)?;
        }
        self.text(&self.chart.axis, ((self.left + WIDTH - MARGIN) / 2, bottom + 32), 13, HPos::Center)?;
        let origin = match &self.chart.mark {
            Some((mark, _)) if self.chart.logarithmic => across(*mark),
            _ => self.left,
        };
        for (row, category) in self.chart.categories.iter().enumerate() {
            let top = TOP + GAP + row as i32 * (self.chart.series.len() as i32 * BAR + GAP);
            let middle = top + self.chart.series.len() as i32 * BAR / 2;
            self.text(category, (self.left - 8, middle), 13, HPos::Right)?;
            for (index, series) in self.chart.series.iter().enumerate() {
                let Some(Some(point)) = series.points.get(row) else { continue };
                self.bar(point, top + index as i32 * BAR, origin, self.color(index), &across)?;
            }
        }
        if let Some((mark, name)) = &self.chart.mark {
            self.line(&[(across(*mark), TOP - 2), (across(*mark), bottom)], self.theme.ink)?;
            self.text(name, (across(*mark), TOP - 10), 12, HPos::Center)?;
        }
        Ok(())
    }

    fn bar(&self, point: &Point, top: i32, origin: i32, color: RGBColor, across: &impl Fn(f64) -> i32) -> Result<()> {
        let [low, end, high] = [point.low, point.value, point.high].map(across);
        let (from, to) = (origin.min(end), origin.max(end).max(origin.min(end) + 1));
        self.area.draw(&Rectangle::new([(from, top), (to, top + BAR - 2)], color.filled()))?;
        let middle = top + BAR / 2 - 1;
        if high > low {
            self.line(&[(low, middle), (high, middle)], self.theme.ink)?;
            for edge in [low, high] {
                self.line(&[(edge, middle - SERIF + 1), (edge, middle + SERIF - 1)], self.theme.ink)?;
            }
        }
        self.text(&scale::text(point.value), (to.max(high) + 6, middle), 11, HPos::Left)
    }

    fn lines(&self) -> Result<()> {
        let (bottom, right) = (TOP + self.height, WIDTH - MARGIN - 40);
        let up = |value| bottom - (self.scale.place(value) * f64::from(self.height)) as i32;
        for tick in self.scale.ticks() {
            self.line(&[(self.left, up(tick)), (right, up(tick))], self.theme.grid)?;
            self.text(&scale::text(tick), (self.left - 8, up(tick)), 12, HPos::Right)?;
        }
        self.text(&self.chart.axis, (MARGIN, TOP - 12), 13, HPos::Left)?;
        let step = f64::from(right - self.left) / self.chart.categories.len() as f64;
        let across = |column: usize| self.left + ((column as f64 + 0.5) * step) as i32;
        for (column, category) in self.chart.categories.iter().enumerate() {
            self.text(category, (across(column), bottom + 12), 13, HPos::Center)?;
        }
        self.text(&self.chart.category, ((self.left + right) / 2, bottom + 32), 13, HPos::Center)?;
        for (index, series) in self.chart.series.iter().enumerate() {
            let color = self.color(index);
            let points: Vec<_> =
                (0..).zip(&series.points).filter_map(|(column, point)| Some((column, (*point)?))).collect();
            let path: Vec<_> = points.iter().map(|(column, point)| (across(*column), up(point.value))).collect();
            self.area.draw(&PathElement::new(path, color.stroke_width(2)))?;
            for (column, point) in points {
                let (x, y) = (across(column), up(point.value));
                self.line(&[(x, up(point.low)), (x, up(point.high))], color)?;
                self.area.draw(&Circle::new((x, y), 4, color.filled()))?;
                self.text(&scale::text(point.value), (x + 9, y + self.aside(column, point.value)), 12, HPos::Left)?;
            }
        }
        Ok(())
    }

    /// How far below its point a value is written: above that of the highest series, below those of others.
    fn aside(&self, column: usize, value: f64) -> i32 {
        let others = self.chart.series.iter().filter_map(|series| *series.points.get(column)?);
        if others.into_iter().any(|other| other.value > value) { 10 } else { -10 }
    }

    fn color(&self, index: usize) -> RGBColor {
        if self.chart.series[index].reference {
            return self.theme.reference;
        }
        let others = self.chart.series[..index].iter().filter(|series| !series.reference).count();
        self.theme.series[others % self.theme.series.len()]
    }

    fn line(&self, places: &[Place], color: RGBColor) -> Result<()> {
        Ok(self.area.draw(&PathElement::new(places.to_vec(), color.stroke_width(1)))?)
    }

    fn text(&self, text: &str, place: Place, size: i32, side: HPos) -> Result<()> {
        let style = ("sans-serif", size).into_font().color(&self.theme.ink).pos(Pos::new(side, VPos::Center));
        Ok(self.area.draw(&Text::new(text.to_owned(), place, style))?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Series;
    use super::super::theme::THEMES;
    use super::*;

    #[test]
    fn a_plot_names_its_categories_series_and_values() {
        let chart = Chart {
            title: "Title".into(),
            axis: "the axis".into(),
            category: "the categories".into(),
            note: "the note".into(),
            layout: Layout::Lines,
            logarithmic: false,
            mark: None,
            categories: vec!["one".into(), "ten".into()],
            series: vec![Series { name: "mine".into(), points: vec![Some(Point::exact(7.5)), None], reference: false }],
        };
        for layout in [Layout::Lines, Layout::Bars] {
            for (_, theme) in &THEMES {
                let svg = svg(&Chart { layout, ..chart.clone() }, theme).unwrap();
                for word in ["Title", "the axis", "the note", "one", "ten", "mine", "7.5"] {
                    assert!(svg.contains(&format!("\n{word}\n")), "{word} is not in {svg}");
                }
            }
        }
    }
}
