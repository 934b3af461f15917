//! What a directory holds, in a form that can be compared.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use sha2::{Digest, Sha256};

/// A line for each entry below `directory`, by name: what it is, how many names a file has, its size and content, or where a
/// link leads. Modes are left out, as WASI has none, and so are times.
#[track_caller]
pub fn contents(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    list(directory, Path::new(""), &mut lines);
    lines.sort();
    lines
}

#[track_caller]
fn list(root: &Path, below: &Path, lines: &mut Vec<String>) {
    let folder = root.join(below);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("listing {}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.expect("an entry of a directory that nobody changes");
        let (name, path) = (below.join(entry.file_name()), entry.path());
        let metadata = entry.metadata().expect("an entry of a directory that nobody changes");
        let shown = name.display();
        if metadata.is_symlink() {
            lines.push(format!("{shown} -> {}", fs::read_link(&path).expect("a link").display()));
        } else if metadata.is_dir() {
            lines.push(format!("{shown}/"));
            list(root, &name, lines);
        } else {
            let bytes = fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
            let hash: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
            lines.push(format!("{shown}: {} names, {} bytes, {hash}, {head:?}", metadata.nlink(), bytes.len()));
        }
    }
}
