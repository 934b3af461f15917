//! What the binaries are made of: crates, Debian's packages, and what the compilers add.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
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
        let purl = deb(name, version, arch);
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

/// What is linked statically and is neither a crate nor unpacked: Rust's standard library, and the C library and compiler's of the
/// machine that builds. Who builds the same again needs the same of these.
///
/// # Errors
/// rustc or dpkg-query does not know them.
pub fn toolchain(arch: &str) -> Result<Vec<Material>> {
    let native = said("dpkg", &["--print-architecture"])?;
    let (libc, gcc) = match arch == native.trim() {
        true => ("libc6-dev".to_owned(), "gcc".to_owned()),
        false => (format!("libc6-dev-{arch}-cross"), "gcc-aarch64-linux-gnu".to_owned()),
    };
    let version = said("rustc", &["--version"])?;
    let version = version.split_whitespace().nth(1).context("rustc tells no version")?;
    let material = |name: &str, version: &str, licence: &str, purl: String| Material {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: Some(licence.to_owned()),
        purl,
        texts: Vec::new(),
    };
    let mut materials = vec![material("rust", version, "MIT OR Apache-2.0", format!("pkg:generic/rust@{version}"))];
    for (name, licence) in [(libc, "LGPL-2.1-or-later"), (gcc, "GPL-3.0-or-later WITH GCC-exception-3.1")] {
        let version = said("dpkg-query", &["--show", "--showformat=${Version}", &name])?;
        materials.push(material(&name, &version, licence, deb(&name, &version, native.trim())));
    }
    Ok(materials)
}

fn said(program: &str, words: &[&str]) -> Result<String> {
    let output = Command::new(program).args(words).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The package URL of one of Debian's packages.
fn deb(name: &str, version: &str, arch: &str) -> String {
    format!("pkg:deb/debian/{name}@{}?arch={arch}", version.replace(':', "%3A").replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_compilers_add_has_its_versions() {
        let arch = said("dpkg", &["--print-architecture"]).unwrap();
        let materials = toolchain(arch.trim()).unwrap();
        let names: Vec<_> = materials.iter().map(|material| material.name.as_str()).collect();
        assert_eq!(names, ["rust", "libc6-dev", "gcc"]);
        assert!(
            materials.iter().all(|one| one.version.starts_with(|first: char| first.is_ascii_digit())),
            "{materials:?}"
        );
        assert!(
            said("dpkg-query", &["--show", "no-such-package"]).unwrap_err().to_string().contains("no-such-package")
        );
    }
}
