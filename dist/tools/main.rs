//! Makes what is released of the binaries; called by `dist/dist`.
//!
//! ```text
//! dist-tools pack SHIM DIRECTORY OUTPUT                   the engine and what it needs, from DIRECTORY, into the shim
//! dist-tools licences PACKAGES ARCH TARGET OUTPUT         the licences of all that is in it
//! dist-tools image ARCH TARGET SHIM KUBERNETES LICENCES OUTPUT
//!                                                         the image that installs it in Kubernetes
//! dist-tools sbom PART PACKAGES ARCH TARGET FILE TIME     FILE.spdx.json and FILE.cdx.json; PART is file or installer
//! dist-tools provenance PACKAGES ARCH TARGET SUMS COMMIT  the statement where the files in SUMS come from
//! dist-tools to-sign STATEMENT                            what is to be signed for it
//! dist-tools envelope STATEMENT SIGNATURE                 both, each as base64, in one
//! ```

mod engine;
mod image;
mod licences;
mod materials;
mod pack;
mod provenance;
mod sbom;
mod shim;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use image::Files;
use materials::Material;
use sbom::Product;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pack", shim, directory, output] => pack::pack(shim.as_ref(), directory.as_ref(), output.as_ref()),
        ["licences", packages, arch, target, output] => {
            fs::write(output, licences::text(SHIM, &materials(packages.as_ref(), arch, target)?)?)
                .with_context(|| format!("cannot write {output}"))
        }
        ["image", arch, target, shim, kubernetes, licences, output] => {
            let files = Files { shim: read(shim)?, kubernetes: read(kubernetes)?, licences: read(licences)? };
            let others = licences::text("wasmedge-kubernetes", &materials::crates(&materials::KUBERNETES, target)?)?;
            fs::write(output, image::archive(arch, files, others)?).with_context(|| format!("cannot write {output}"))
        }
        ["sbom", part, packages, arch, target, file, time] => {
            let mut materials = materials(packages.as_ref(), arch, target)?;
            match part {
                "file" => {}
                "installer" => materials.extend(materials::crates(&materials::KUBERNETES, target)?),
                other => bail!("there is no bill of {other}"),
            }
            materials.sort();
            materials.dedup();
            write_sboms(file, time.parse().context("no time")?, &materials)
        }
        ["provenance", packages, arch, target, sums, commit] => {
            let materials = materials(packages.as_ref(), arch, target)?;
            let sums = fs::read_to_string(sums).with_context(|| format!("cannot read {sums}"))?;
            print!("{}", provenance::statement(&sums, commit, &materials)?);
            Ok(())
        }
        ["to-sign", statement] => {
            print!("{}", provenance::to_be_signed(statement));
            Ok(())
        }
        ["envelope", statement, signature] => {
            println!("{}", provenance::envelope(statement, signature));
            Ok(())
        }
        _ => bail!("usage: dist-tools pack|licences|image|sbom|provenance|to-sign|envelope …"),
    }
}

/// The one file's name.
const SHIM: &str = "containerd-shim-wasmedge-v1";

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {path}"))
}

fn materials(packages: &Path, arch: &str, target: &str) -> Result<Vec<Material>> {
    let crates = materials::crates(&materials::SHIM, target)?;
    Ok([crates, materials::packages(packages, arch)?, materials::toolchain(arch)?].concat())
}

fn write_sboms(file: &str, made: i64, materials: &[Material]) -> Result<()> {
    let bytes = read(file)?;
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = Path::new(file).file_name().and_then(|name| name.to_str()).context("the file has no name")?;
    let product = Product { name, version: env!("CARGO_PKG_VERSION"), sha256: &sha256, made };
    let write = |kind: &str, document: Value| -> Result<()> {
        let path = format!("{file}.{kind}.json");
        fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")
            .with_context(|| format!("cannot write {path}"))
    };
    write("spdx", product.spdx(materials)?)?;
    write("cdx", product.cyclonedx(materials)?)
}
