//! The images of the measurements alone, which are made when they are asked for.
//!
//! | image | what it has |
//! |---|---|
//! | `bench` | the programs of bench/workloads, each as a module `/NAME.wasm` and as a static Linux program `/NAME` |
//! | `ripgrep` | `/rg.wasm`: a large module; some text to search in `/text` |

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use oci_spec::image::{Arch, Os};

use crate::image::{Defaults, Image};
use crate::layer::Layer;
use crate::{cargo, work_folder};

/// Neither SHA-256 may use instructions that the other has not.
const PORTABLE_SHA: &str = r#"--cfg sha2_backend="soft""#;

/// The one that all results are about.
const RIPGREP: &str = "15.2.0";

/// The images' short names.
pub const NAMES: [&str; 2] = ["bench", "ripgrep"];

/// Makes the image with this short name.
pub fn image(name: &str) -> Result<Image> {
    let work = work_folder()?;
    let (layer, command) = match name {
        "bench" => (programs(&work.join("bench"))?, "/kernels"),
        "ripgrep" => (ripgrep(&work.join("ripgrep"))?, "/rg.wasm"),
        _ => bail!("there is no image {name}: {} are made on demand", NAMES.join(" and ")),
    };
    let defaults = Defaults { cmd: vec![command], ..Defaults::default() };
    Image::rootfs(name, Os::Linux, Arch::Amd64, &[layer], defaults)
}

fn programs(output: &Path) -> Result<Layer> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/workloads");
    // The vectors that every processor of each kind has: SSE2 natively, 128 bits in Wasm.
    cargo::build(&folder, output, cargo::WASM, &format!("-C target-feature=+simd128 {PORTABLE_SHA}"))?;
    cargo::build(&folder, output, cargo::LINUX, &format!("-C target-feature=+crt-static {PORTABLE_SHA}"))?;
    let mut layer = Layer::default();
    for name in ["kernels", "files", "http"] {
        layer.file(name, 0o755, read(output.join(cargo::LINUX).join("release").join(name))?);
        let module = format!("{name}.wasm");
        layer.file(&module, 0o755, read(output.join(cargo::WASM).join("release").join(&module))?);
    }
    Ok(layer)
}

fn ripgrep(output: &Path) -> Result<Layer> {
    cargo::install("ripgrep", RIPGREP, output)?;
    let mut layer = Layer::default();
    layer.file("rg.wasm", 0o755, read(output.join("bin/rg.wasm"))?);
    for file in 0..4 {
        layer.file(&format!("text/{file}.txt"), 0o644, text(file));
    }
    Ok(layer)
}

/// 2,000 lines, one of which has the word `needle`.
fn text(file: usize) -> String {
    (0..2000).fold(String::new(), |mut text, line| {
        let what = if line == 500 * file + 250 { "a needle" } else { "more hay" };
        let _ = writeln!(text, "line {line} of file {file} has {what} in it");
        text
    })
}

fn read(path: PathBuf) -> Result<Vec<u8>> {
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_needle() {
        for file in 0..4 {
            assert_eq!(text(file).matches("needle").count(), 1);
        }
    }
}
