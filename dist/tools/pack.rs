//! The engine and its libraries in the shim's file.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use wasmedge_shim_payload::{ENGINE, Entry, LINKER, Manifest};

use crate::{engine, shim};

/// Of zstd: 19 is the last that needs no more than 8 MiB to be unpacked.
const LEVEL: i32 = 19;

/// Packs the files of `directory` into the shim, and writes that to `output`. The same files make the same output, byte for byte.
///
/// # Errors
/// A file cannot be used.
pub fn pack(shim: &Path, directory: &Path, output: &Path) -> Result<()> {
    let (manifest, bytes) = collect(directory)?;
    let compressed = zstd::bulk::compress(&bytes, LEVEL)?;
    let shim = fs::read(shim).with_context(|| format!("cannot read {}", shim.display()))?;
    let packed = shim::with_payload(shim, &postcard::to_stdvec(&manifest)?, &compressed)?;
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o755).open(output)?;
    file.write_all(&packed).with_context(|| format!("cannot write {}", output.display()))
}

/// The files of a directory, by their names: what they are, and their bytes.
fn collect(directory: &Path) -> Result<(Manifest, Vec<u8>)> {
    let what = || format!("cannot read {}", directory.display());
    let mut paths: Vec<_> =
        fs::read_dir(directory).with_context(what)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    let (mut files, mut all) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file's name is no UTF-8")?.to_owned();
        let meta = fs::metadata(&path)?;
        ensure!(meta.is_file(), "{} is no file", path.display());
        let mut bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if name == ENGINE {
            engine::make_room_for_linker(&mut bytes).with_context(|| format!("cannot use {}", path.display()))?;
        }
        let (executable, size) = (meta.mode() & 0o111 != 0, bytes.len() as u64);
        files.push(Entry { name, executable, size, sha256: Sha256::digest(&bytes).into() });
        all.extend(bytes);
    }
    for needed in [ENGINE, LINKER] {
        ensure!(files.iter().any(|file| file.name == needed), "{} has no {needed}", directory.display());
    }
    Ok((Manifest { files }, all))
}
