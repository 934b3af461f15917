//! One payload, unpacked: a directory with its files.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ruzstd::decoding::StreamingDecoder;
use sha2::{Digest, Sha256};
use wasmedge_shim_protocol::gone;

use crate::{
    ENGINE, Entry, Error, LINKER, Manifest, Result,
    error::failed,
    interpreter::{self, ROOM},
};

/// What is being made, or on its way out, has a name that begins so.
pub const UNFINISHED: &str = ".unfinished-";

/// Bytes that are moved at once.
const PIECE: usize = 1 << 16;

/// Writes all files of a payload into `directory`, for use at `place`: it is renamed to that when it is complete.
///
/// # Errors
/// A file cannot be written, or is not what was packed.
pub fn fill(directory: &Path, place: &Path, manifest: &Manifest, compressed: impl Read) -> Result<()> {
    let damaged = |error: String| Error::Damaged(format!("its payload cannot be unpacked: {error}"));
    let mut stream = StreamingDecoder::new(BufReader::with_capacity(PIECE, compressed))
        .map_err(|error| damaged(error.to_string()))?;
    for entry in &manifest.files {
        check_name(entry)?;
        let path = directory.join(&entry.name);
        let mode = if entry.executable { 0o755 } else { 0o644 };
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed("create", &path))?;
        let mut hash = Sha256::new();
        let mut rest = entry.size;
        let mut piece = [0; PIECE];
        while rest > 0 {
            let length = piece.len().min(usize::try_from(rest).unwrap_or(PIECE));
            stream.read_exact(&mut piece[..length]).map_err(|error| damaged(error.to_string()))?;
            hash.update(&piece[..length]);
            file.write_all(&piece[..length]).map_err(failed("write", &path))?;
            rest -= length as u64;
        }
        if hash.finalize()[..] != entry.sha256 {
            return Err(damaged(format!("{} is another file", entry.name)));
        }
        if entry.name == ENGINE {
            name_linker(&file, entry, place).map_err(failed("write", &path))?;
        }
    }
    Ok(())
}

fn name_linker(file: &File, entry: &Entry, place: &Path) -> io::Result<()> {
    let bytes = interpreter::bytes(&place.join(LINKER))?;
    std::os::unix::fs::FileExt::write_all_at(file, &bytes, entry.size.saturating_sub(ROOM))
}

fn check_name(entry: &Entry) -> Result<()> {
    let plain = Path::new(&entry.name).file_name().is_some_and(|name| name == entry.name.as_str());
    if plain { Ok(()) } else { Err(Error::Damaged(format!("its payload has a file named {:?}", entry.name))) }
}

/// Why what is at `place` cannot be used, if it cannot: a file is missing, another one, or another user's.
pub fn fault(place: &Path, manifest: &Manifest) -> Option<String> {
    manifest.files.iter().find_map(|entry| {
        let path = place.join(&entry.name);
        is_intact(&path, place, entry).map_or_else(
            |error| Some(format!("{}: {error}", path.display())),
            |intact| (!intact).then(|| format!("{} was changed", path.display())),
        )
    })
}

fn is_intact(path: &Path, place: &Path, entry: &Entry) -> io::Result<bool> {
    let mut file =
        OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    let executable = meta.mode() & 0o111 != 0;
    let ours = meta.uid() == nix::unistd::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if !meta.is_file() || meta.len() != entry.size || !ours || executable != entry.executable {
        return Ok(false);
    }
    let mut hash = Sha256::new();
    let told = if entry.name == ENGINE { ROOM.min(entry.size) } else { 0 };
    copy(&mut (&mut file).take(entry.size - told), &mut hash)?;
    if told > 0 {
        let mut room = Vec::new();
        file.read_to_end(&mut room)?;
        // It was zero when it was packed.
        hash.update(vec![0; room.len()]);
        if room != interpreter::bytes(&place.join(LINKER))? {
            return Ok(false);
        }
    }
    Ok(hash.finalize()[..] == entry.sha256)
}

fn copy(from: &mut impl Read, hash: &mut Sha256) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            length => hash.update(&piece[..length]),
        }
    }
}

/// Removes a directory of ours, whatever is in it; none is no error.
pub fn remove(directory: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(directory))
}

/// The file that who uses a place holds a shared lock on (flock(2)).
pub fn lock_of(place: &Path) -> PathBuf {
    place.join(".lock")
}

/// The file that says that another version has been installed.
pub fn mark_of(place: &Path) -> PathBuf {
    place.join(".superseded")
}
