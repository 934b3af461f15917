//! The guest modules: the Rust programs of test/workloads compiled for wasm32-wasip1, its wat/ files assembled, and
//! some that are broken on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::cargo;

/// Modules by name, without `.wasm`.
pub type Modules = BTreeMap<String, Vec<u8>>;

/// Examples that tests run.
const EXAMPLES: [&str; 1] = ["graceful"];

/// Compiles and assembles what is in `workloads`, and compiles the programs in `examples`, with cargo's files in `target`.
/// Quick when nothing has changed.
pub fn build(workloads: &Path, examples: &Path, target: &Path) -> Result<Modules> {
    cargo::build(workloads, target, cargo::WASM, "")?;
    let mut modules = Modules::new();
    for name in names(&workloads.join("src/bin"), ".rs")? {
        let bytes = compiled(target, &name)?;
        modules.insert(name, bytes);
    }
    for name in EXAMPLES {
        cargo::build(&examples.join(name), target, cargo::WASM, "")?;
        modules.insert(name.into(), compiled(target, name)?);
    }
    let wat = workloads.join("wat");
    for name in names(&wat, ".wat")? {
        let bytes = wat::parse_file(wat.join(format!("{name}.wat")))?;
        modules.insert(name, bytes);
    }
    add_broken(&mut modules);
    Ok(modules)
}

fn compiled(target: &Path, name: &str) -> Result<Vec<u8>> {
    let path = target.join(cargo::WASM).join("release").join(format!("{name}.wasm"));
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// Files that no engine can load: nothing at all, no Wasm, and a module that ends in the middle.
fn add_broken(modules: &mut Modules) {
    let half = modules.get("hello").map(|hello| hello[..hello.len() / 2].to_vec()).unwrap_or_default();
    modules.insert("empty".into(), Vec::new());
    modules.insert("garbage".into(), b"this is no module\n".repeat(64));
    modules.insert("truncated".into(), half);
}

/// The names of the files in `folder` that end with `extension`, without it.
fn names(folder: &Path, extension: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(extension).map(String::from));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wat_file_assembles() {
        let wat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/wat");
        let names = names(&wat, ".wat").unwrap();
        assert!(names.contains(&"tiny".to_owned()));
        for name in names {
            wat::parse_file(wat.join(format!("{name}.wat"))).unwrap();
        }
    }

    #[test]
    fn the_precompiled_module_has_the_section_that_engines_must_refuse() {
        let wat = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workloads/wat/precompiled.wat");
        let bytes = wat::parse_file(wat).unwrap();
        assert!(bytes.windows(9).any(|nine| nine == b"\x08wasmedge"));
    }
}
