//! Where the engine host listens and keeps its state.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The runtime directory, on a filesystem that a reboot empties.
const RUNTIME_DIR: &str = "/run/containerd-shim-wasmedge";

/// Paths that the shim and the host agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    root: PathBuf,
}

impl Default for Location {
    fn default() -> Self {
        Self::new(RUNTIME_DIR)
    }
}

impl Location {
    /// Everything beneath `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The runtime directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The socket of the host that runs the engine binary at `engine`.
    ///
    /// The name carries the file's identity, so that after an upgrade new pods get a host of the new version while
    /// the old one serves those it has, without anybody asking a binary for its version.
    pub fn socket(&self, engine: &Path) -> io::Result<PathBuf> {
        Ok(self.root.join(format!("host-{}.sock", Self::identity(engine)?)))
    }

    /// What tells the engine binary at `engine` from any other that was or will be there, whether it was renamed into
    /// place or copied over.
    pub fn identity(engine: &Path) -> io::Result<String> {
        let meta = fs::metadata(engine)?;
        let (changed, size) = (meta.mtime_nsec() ^ meta.mtime(), meta.size());
        Ok(format!("{:x}-{:x}-{changed:x}-{size:x}", meta.dev(), meta.ino()))
    }

    /// The lock that whoever starts a host holds meanwhile.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Entries of the shims that containerd does not know yet.
    pub fn starting(&self) -> PathBuf {
        self.root.join("starting")
    }

    /// What is known of the native code in the cache until the next reboot.
    pub fn aot(&self) -> PathBuf {
        self.root.join("aot")
    }

    /// The log of the hosts.
    pub fn log(&self) -> PathBuf {
        self.root.join("engine.log")
    }

    /// Files of the pod with the sandbox `id`, where its shim has them.
    pub fn sandbox(&self, namespace: &str, id: &str) -> PathBuf {
        self.root.join("sandboxes").join(namespace).join(id)
    }

    /// State of the containers of `namespace`.
    pub fn namespace_state(&self, namespace: &str) -> PathBuf {
        self.containers().join(namespace)
    }

    /// State of all containers, in a directory per namespace.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// The sockets of hosts, of whichever engine; some may be those of hosts that are gone.
    pub fn hosts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_host = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("host-") && name.ends_with(".sock")
        };
        let mut hosts: Vec<PathBuf> = entries.filter(is_host).collect();
        hosts.sort();
        hosts
    }
}

/// Makes `path` (and its parents) as a directory that only its owner may enter; one that is there already must be
/// ours and is closed to others.
pub fn ensure_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() || meta.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::other(format!("{} is not a directory of this user", path.display())));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_engine_binary_gets_another_socket() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, upgrade) = (dir.path().join("engine"), dir.path().join("upgrade"));
        fs::write(&engine, "old").unwrap();
        fs::write(&upgrade, "new").unwrap();
        let location = Location::new(dir.path());
        let before = location.socket(&engine).unwrap();
        assert_eq!(before, location.socket(&engine).unwrap());
        fs::rename(&upgrade, &engine).unwrap();
        let renamed = location.socket(&engine).unwrap();
        assert_ne!(before, renamed);
        fs::write(&renamed, "").unwrap();
        assert_eq!(location.hosts(), std::slice::from_ref(&renamed));
        // Copied over the same file.
        fs::write(&engine, "newer").unwrap();
        assert_ne!(renamed, location.socket(&engine).unwrap());
    }

    #[test]
    fn a_directory_open_to_others_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        ensure_private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_symlink_in_place_of_the_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        std::os::unix::fs::symlink(dir.path(), &path).unwrap();
        assert!(ensure_private_dir(&path).is_err());
    }
}
