//! Builds the images of the end-to-end tests: OUTDIR/NAME.tar holds `localhost/NAME:latest`, for `docker load` and
//! `ctr images import`. An archive whose contents would be the same is left alone.
//!
//! usage: build-images OUTDIR [--root BASE_ROOT]
//!
//! BASE_ROOT is a Debian tree with the package busybox-static; without it the host's busybox or its package serves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let (mut folder, mut root) = (None, None);
    while let Some(word) = words.next() {
        if word == "--root" {
            root = words.next().map(PathBuf::from);
        } else if folder.replace(PathBuf::from(word)).is_some() {
            folder = None;
            break;
        }
    }
    let Some(folder) = folder else { bail!("usage: build-images OUTDIR [--root BASE_ROOT]") };

    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for (short_name, image) in test_images::all(root.as_deref())? {
        let path = folder.join(format!("{short_name}.tar"));
        let news = if write_if_changed(&path, &image.archive()?)? { "written" } else { "unchanged" };
        println!("{news} {} {}", path.display(), image.name());
    }
    Ok(())
}

fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("renaming to {}", path.display()))?;
    Ok(true)
}
