//! Makes an image of a tree of files: ARCHIVE holds `localhost/NAME:latest`, for `docker load`. All in it belongs to
//! root.
//!
//! usage: program-image NAME TREE ARCHIVE

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use oci_spec::image::{Arch, Os};
use test_images::{
    image::{Defaults, Image},
    layer::Layer,
};

const PATH: &str = "PATH=/usr/local/bin:/usr/bin:/bin:/";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, tree, archive] = &words[..] else { bail!("usage: program-image NAME TREE ARCHIVE") };
    let mut layer = Layer::default();
    add(&mut layer, Path::new(tree), &PathBuf::new())?;
    let defaults = Defaults { cmd: vec!["/no-command-given"], env: vec![PATH], ..Defaults::default() };
    let image = Image::rootfs(name, Os::Linux, Arch::Amd64, &[layer], defaults)?;
    let partial = format!("{archive}.partial");
    fs::write(&partial, image.archive()?).with_context(|| format!("writing {partial}"))?;
    fs::rename(&partial, archive).with_context(|| format!("renaming to {archive}"))
}

/// Adds what is in the folder `path` of `tree` to the layer, and what is below.
fn add(layer: &mut Layer, tree: &Path, path: &Path) -> Result<()> {
    let folder = tree.join(path);
    for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let inside = path.join(entry.file_name());
        let (found, name) = (entry.path(), inside.to_str().context("a name that is no UTF-8")?);
        let metadata = entry.metadata().with_context(|| format!("looking at {}", found.display()))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_symlink() {
            layer.symlink(name, fs::read_link(&found)?.to_str().context("a link that is no UTF-8")?);
        } else if metadata.is_dir() {
            layer.directory(name, mode);
            add(layer, tree, &inside)?;
        } else {
            layer.file(name, mode, fs::read(&found).with_context(|| format!("reading {}", found.display()))?);
        }
    }
    Ok(())
}
