//! The licences of all that is in a file, as one text.

use std::{collections::BTreeMap, fmt::Write, fs};

use anyhow::{Context, Result};

use crate::materials::Material;

/// A list of what there is, then the texts, each once.
///
/// # Errors
/// A text cannot be read, or something has neither a licence nor a text.
pub fn text(product: &str, materials: &[Material]) -> Result<String> {
    let mut out = format!("{product} is made of these works, under these licences.\n\n");
    let mut texts = BTreeMap::<String, Vec<String>>::new();
    for material in materials {
        let Material { name, version, licence, .. } = material;
        writeln!(out, "{name} {version}: {}", licence.as_deref().unwrap_or("see its text"))?;
        anyhow::ensure!(licence.is_some() || !material.texts.is_empty(), "{name} has no licence");
        for path in &material.texts {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            texts
                .entry(String::from_utf8_lossy(&text).trim().to_owned())
                .or_default()
                .push(format!("{name} {version}"));
        }
    }
    for (text, names) in texts {
        write!(out, "\n{}\n{}\n\n{text}\n", "=".repeat(80), names.join(", "))?;
    }
    Ok(out)
}
