//! What shim and engine ask of files alike.

use std::{fs::Metadata, io, os::unix::fs::MetadataExt};

use nix::unistd::geteuid;

/// The bit of a directory's mode by which only the owner of an entry may rename or remove it (`S_ISVTX`, inode(7)).
const STICKY: u32 = 0o1000;

/// Whether others than root and this process's user can change what this is of.
pub fn others_can_change(meta: &Metadata) -> bool {
    is_of_others(meta) || meta.mode() & 0o022 != 0
}

/// Whether others can put something else in the place of what root or this process's user has in this directory. `/tmp` and its
/// like let nobody do that.
pub fn others_can_replace_in(directory: &Metadata) -> bool {
    is_of_others(directory) || directory.mode() & 0o022 != 0 && directory.mode() & STICKY == 0
}

fn is_of_others(meta: &Metadata) -> bool {
    meta.uid() != 0 && meta.uid() != geteuid().as_raw()
}

/// What is gone already need not be removed or moved away.
///
/// # Errors
/// All others.
pub fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn who_can_change_what_is_told_by_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let of = |mode| {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            let meta = fs::metadata(directory.path()).unwrap();
            (others_can_change(&meta), others_can_replace_in(&meta))
        };
        assert_eq!(of(0o755), (false, false));
        assert_eq!(of(0o1777), (true, false));
        assert_eq!(of(0o775), (true, true));
    }

    #[test]
    fn what_is_gone_is_no_error_and_all_else_is() {
        let directory = tempfile::tempdir().unwrap();
        gone(fs::remove_file(directory.path().join("none"))).unwrap();
        assert!(gone(fs::remove_file(directory.path())).is_err());
    }
}
