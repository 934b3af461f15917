//! What the binaries are made of: crates, and Debian's packages.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

/// The crates that become the one file.
pub const SHIM: [&str; 2] = ["containerd-shim-wasmedge", "wasmedge-engine"];

/// The crate that is beside it in the image.
pub const KUBERNETES: [&str; 1] = ["wasmedge-kubernetes"];

/// Part of a binary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Material {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence as an SPDX expression, if it tells one.
    pub licence: Option<String>,
    /// Its identity as a package URL.
    pub purl: String,
    /// Files with the text of its licence.
    pub texts: Vec<PathBuf>,
}

/// The crates that are linked into these for this target, by name.
///
/// # Errors
/// cargo does not know them.
pub fn crates(roots: &[&str], target: &str) -> Result<Vec<Material>> {
    let options = ["--locked".to_owned(), "--filter-platform".to_owned(), target.to_owned()];
    let metadata = MetadataCommand::new().other_options(options).exec()?;
    let resolve = metadata.resolve.as_ref().context("cargo has resolved nothing")?;
    let nodes: HashMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut queue: Vec<_> =
        metadata.packages.iter().filter(|package| roots.contains(&package.name.as_str())).map(|one| &one.id).collect();
    let mut seen: HashSet<_> = queue.iter().copied().collect();
    while let Some(id) = queue.pop() {
        let linked =
            nodes[id].deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        queue.extend(linked.map(|dep| &dep.pkg).filter(|dep| seen.insert(*dep)));
    }
    let mut materials = Vec::new();
    for package in metadata.packages.iter().filter(|package| seen.contains(&package.id)) {
        let directory = package.manifest_path.parent().context("a manifest has no directory")?;
        let mut texts = texts_in(directory.as_std_path())?;
        texts.extend(package.license_file().map(PathBuf::from));
        texts.sort();
        texts.dedup();
        let (name, version) = (package.name.to_string(), package.version.to_string());
        let purl = format!("pkg:cargo/{name}@{version}");
        materials.push(Material { name, version, licence: package.license.clone(), purl, texts });
    }
    materials.sort();
    Ok(materials)
}

fn texts_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let is_text = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file()
            && ["LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"].iter().any(|word| name.starts_with(word))
    };
    Ok(fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter(is_text)
        .collect())
}

/// Debian's packages that are unpacked in `directory`: `versions` has a line `NAME VERSION` for each, and `root` their files.
///
/// # Errors
/// They cannot be read.
pub fn packages(directory: &Path, arch: &str) -> Result<Vec<Material>> {
    let versions = directory.join("versions");
    let text = fs::read_to_string(&versions).with_context(|| format!("cannot read {}", versions.display()))?;
    let material = |line: &str| {
        let (name, version) = line.split_once(' ')?;
        let purl = format!("pkg:deb/debian/{name}@{}?arch={arch}", version.replace(':', "%3A").replace('+', "%2B"));
        let copyright = directory.join("root/usr/share/doc").join(name).join("copyright");
        let (name, version) = (name.to_owned(), version.to_owned());
        Some(Material { name, version, licence: None, purl, texts: vec![copyright] })
    };
    let mut materials: Vec<_> = text
        .lines()
        .map(|line| material(line).with_context(|| format!("not a package: {line}")))
        .collect::<Result<_>>()?;
    materials.sort();
    Ok(materials)
}
