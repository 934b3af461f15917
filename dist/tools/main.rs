//! Makes what is released of the binaries; called by `dist/dist`.
//!
//! ```text
//! dist-tools pack SHIM DIRECTORY OUTPUT                   the engine and what it needs, from DIRECTORY, into the shim
//! dist-tools licences PACKAGES ARCH TARGET OUTPUT         the licences of all that is in it
//! dist-tools sbom PACKAGES ARCH TARGET FILE TIME          FILE.spdx.json and FILE.cdx.json
//! dist-tools provenance PACKAGES ARCH TARGET SUMS COMMIT  the statement where the files in SUMS come from
//! dist-tools to-sign STATEMENT                            what is to be signed for it
//! dist-tools envelope STATEMENT SIGNATURE                 both, each as base64, in one
//! ```

mod engine;
mod licences;
mod materials;
mod pack;
mod provenance;
mod sbom;
mod shim;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use materials::Material;
use sbom::Product;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pack", shim, directory, output] => pack::pack(shim.as_ref(), directory.as_ref(), output.as_ref()),
        ["licences", packages, arch, target, output] => {
            fs::write(output, licences::text(&materials(packages.as_ref(), arch, target)?)?)
                .with_context(|| format!("cannot write {output}"))
        }
        ["sbom", packages, arch, target, file, time] => {
            write_sboms(file, time.parse().context("no time")?, &materials(packages.as_ref(), arch, target)?)
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
        _ => bail!("usage: dist-tools pack|licences|sbom|provenance|to-sign|envelope …"),
    }
}

fn materials(packages: &Path, arch: &str, target: &str) -> Result<Vec<Material>> {
    Ok([materials::crates(target)?, materials::packages(packages, arch)?].concat())
}

fn write_sboms(file: &str, made: i64, materials: &[Material]) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {file}"))?;
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
