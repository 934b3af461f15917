//! The file with what a module left behind when it trapped.
//!
//! It is written by the module's own process, with its rights, in the container. There is one per module and directory,
//! replaced by the next, so that a container that starts again and again does not fill a disk.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::wasm::CoreDump;

/// Where core dumps go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// A directory of the container.
    pub directory: PathBuf,
    /// Most memory that one has, in MiB.
    pub most_mib: u32,
}

/// Writes `dump` to the file `PROGRAM.core`; a line about it.
pub fn save(dump: &CoreDump<'_>, to: &Destination) -> String {
    let name = Path::new(dump.program).file_name().unwrap_or_default().to_string_lossy();
    let path = to.directory.join(format!("{name}.core"));
    match write(dump, &path, u64::from(to.most_mib) << 20) {
        Ok(true) => format!("core dump in {}", path.display()),
        Ok(false) => format!("core dump in {}, of the first {} MiB of its memory", path.display(), to.most_mib),
        Err(error) => format!("no core dump in {}: {error}", path.display()),
    }
}

/// In a new file, put in place as a whole: what is there already may be a link that the guest has made.
fn write(dump: &CoreDump<'_>, path: &Path, most: u64) -> io::Result<bool> {
    let temporary = path.with_extension("core.new");
    let _ = fs::remove_file(&temporary);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let mut out = BufWriter::new(file);
    let written = dump.write(&mut out, most).and_then(|complete| out.flush().map(|()| complete));
    let done = written.and_then(|complete| fs::rename(&temporary, path).map(|()| complete));
    if done.is_err() {
        // The error that matters is the one before.
        let _ = fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let victim = top.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        for name in ["a.wasm.core", "a.wasm.core.new"] {
            std::os::unix::fs::symlink(&victim, top.path().join(name)).unwrap();
        }
        let dump = CoreDump { program: "/x/a.wasm", frames: &[1], memories: &[&[1; 1 << 16]] };
        let to = Destination { directory: top.path().to_owned(), most_mib: 1 };
        let path = top.path().join("a.wasm.core");
        assert_eq!(save(&dump, &to), format!("core dump in {}", path.display()));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 2);
    }

    #[test]
    fn where_there_is_no_directory_the_line_says_so() {
        let dump = CoreDump { program: "a.wasm", frames: &[], memories: &[] };
        let to = Destination { directory: "/no/such".into(), most_mib: 1 };
        assert_eq!(save(&dump, &to), "no core dump in /no/such/a.wasm.core: No such file or directory (os error 2)");
    }
}
