//! Colours.

use plotters::style::RGBColor;

/// Colours on one background.
#[derive(Clone, Debug)]
pub struct Theme {
    pub background: RGBColor,
    pub ink: RGBColor,
    pub grid: RGBColor,
    /// What the others are compared with.
    pub reference: RGBColor,
    /// Of the others; distinct for the colour-blind too (Okabe and Ito's).
    pub series: [RGBColor; 4],
}

/// Both themes with their names.
pub const THEMES: [(&str, Theme); 2] = [
    (
        "light",
        Theme {
            background: RGBColor(255, 255, 255),
            ink: RGBColor(31, 35, 40),
            grid: RGBColor(209, 217, 224),
            reference: RGBColor(129, 139, 152),
            series: [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)],
        },
    ),
    (
        "dark",
        Theme {
            background: RGBColor(13, 17, 23),
            ink: RGBColor(230, 237, 243),
            grid: RGBColor(61, 68, 77),
            reference: RGBColor(145, 152, 161),
            series: [RGBColor(86, 180, 233), RGBColor(240, 175, 40), RGBColor(20, 190, 145), RGBColor(225, 150, 190)],
        },
    ),
];
