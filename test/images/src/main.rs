//! Builds the images of the end-to-end tests: OUTDIR/NAME.tar holds `localhost/NAME:latest`, for `docker load` and
//! `ctr images import`. An archive whose contents would be the same is left alone.
//!
//! usage: build-images OUTDIR [--root BASE_ROOT] [--with NAME]…
//!
//! BASE_ROOT is a Debian tree with the package busybox-static; without it the host's busybox or its package serves.
//! NAME is an image that only measurements need: bench, ripgrep.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use test_images::image::Image;

fn main() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let (mut folder, mut root, mut more) = (None, None, Vec::new());
    while let Some(word) = words.next() {
        if word == "--root" {
            root = words.next().map(PathBuf::from);
        } else if word == "--with" {
            more.extend(words.next().map(|name| name.to_string_lossy().into_owned()));
        } else if folder.replace(PathBuf::from(word)).is_some() {
            folder = None;
            break;
        }
    }
    let Some(folder) = folder else { bail!("usage: build-images OUTDIR [--root BASE_ROOT] [--with NAME]…") };

    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let images = test_images::all(root.as_deref())?;
    let known = images.iter().map(|(name, _)| *name).chain(test_images::bench::NAMES);
    remove_others(&folder, &known.collect::<Vec<_>>())?;
    for (short_name, image) in images {
        write(&folder, short_name, &image)?;
    }
    for name in more {
        write(&folder, &name, &test_images::bench::image(&name)?)?;
    }
    Ok(())
}

/// Removes archives of images that there were once.
fn remove_others(folder: &Path, known: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "tar") && !known.contains(&name.as_str()) {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn write(folder: &Path, short_name: &str, image: &Image) -> Result<()> {
    let path = folder.join(format!("{short_name}.tar"));
    let news = if write_if_changed(&path, &image.archive()?)? { "written" } else { "unchanged" };
    println!("{news} {} {}", path.display(), image.name());
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
