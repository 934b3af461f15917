//! Plots of a run, as SVG: one for light and one for dark backgrounds each.

mod chart;
mod charts;
mod draw;
mod scale;
mod theme;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::record::Record;
use theme::THEMES;

/// Writes the plots of all that was measured into `folder`, as PREFIXlatency-light.svg and so on.
pub fn write(record: &Record, prefix: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for (name, chart) in charts::all(record) {
        for (mode, theme) in &THEMES {
            let path = folder.join(format!("{prefix}{name}-{mode}.svg"));
            let svg = draw::svg(&chart, theme).with_context(|| format!("drawing {name}"))?;
            fs::write(&path, svg).with_context(|| format!("writing {}", path.display()))?;
            eprintln!("plot: {}", path.display());
        }
    }
    Ok(())
}
