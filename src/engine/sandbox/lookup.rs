//! Files of a container, opened from outside before its sandbox exists: what the sandbox is to be like depends on
//! what its entrypoint is.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use oci_spec::runtime::{Mount, Process, Spec};

use crate::{
    files::{self, Root},
    guest::{self, Entrypoint},
};

/// Opens the regular file at `path`, absolute in the container, for reading: in the bind mount that covers it, else in the
/// root filesystem. Links are followed as they would be inside.
///
/// A link that leads from one mount into another is not found here; the sandbox's own lookup has the last word.
pub fn open(spec: &Spec, root: &Root, path: &Path) -> io::Result<File> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let covering = mounts
        .iter()
        .filter(|mount| path.starts_with(mount.destination()))
        .max_by_key(|mount| mount.destination().components().count());
    let Some((mount, source)) = covering.and_then(|mount| Some((mount, bind_source(mount)?))) else {
        return root.open(path);
    };
    let rest = path.strip_prefix(mount.destination()).unwrap_or(Path::new(""));
    if rest.as_os_str().is_empty() { files::open_on_node(&source) } else { Root::new(&source)?.open(rest) }
}

/// Whether anything is at `path`, absolute in the container.
pub fn exists(spec: &Spec, root: &Root, path: &Path) -> bool {
    !matches!(open(spec, root, path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The file of the module that `process` is to run, if it is one. A program that cannot be found is left to the lookup
/// inside, which sees links across mounts too.
pub fn module(process: &Process, open: &dyn Fn(&Path) -> io::Result<File>) -> Option<File> {
    match program(process, open) {
        Program::Module(file) => Some(file),
        _ => None,
    }
}

/// A program that is not there.
pub struct Missing {
    /// As it is named.
    pub name: String,
    /// Where it would be found, absolute in the container.
    pub path: PathBuf,
}

/// What the program of a process is.
pub enum Program {
    /// A module, in this file.
    Module(File),
    /// Not there.
    Missing(Missing),
    /// Anything else.
    Other,
}

/// Finds out what the program of `process` is.
pub fn program(process: &Process, open: &dyn Fn(&Path) -> io::Result<File>) -> Program {
    match guest::resolve(process, open) {
        Ok(Entrypoint::Wasm { path, .. }) => open(&path).map_or(Program::Other, Program::Module),
        Ok(Entrypoint::Linux { path, args }) if !guest::has_init(&args) && !is_empty(open(&path)) => Program::Other,
        _ => {
            let missing = guest::missing(process, open).map(|(name, path)| Missing { name, path });
            missing.map_or(Program::Other, Program::Missing)
        }
    }
}

/// Whether nothing is in a file, as in one that was made to mount another on it.
pub fn is_empty(opened: io::Result<File>) -> bool {
    opened.and_then(|file| file.metadata()).is_ok_and(|meta| meta.is_file() && meta.len() == 0)
}

fn bind_source(mount: &Mount) -> Option<PathBuf> {
    let options = mount.options().as_deref().unwrap_or_default();
    let bind =
        mount.typ().as_deref() == Some("bind") || options.iter().any(|option| option == "bind" || option == "rbind");
    if bind { mount.source().clone() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::MountBuilder;
    use std::io::Read;

    fn read(spec: &Spec, root: &Path, path: &str) -> io::Result<String> {
        let mut text = String::new();
        open(spec, &Root::new(root)?, Path::new(path))?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn files_are_found_in_the_root_and_in_volumes_and_links_stay_inside() {
        let (root, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(root.path().join("file"), "root").unwrap();
        std::fs::write(volume.path().join("file"), "volume").unwrap();
        std::os::unix::fs::symlink("/file", root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("outside")).unwrap();
        let mount = |destination: &str, source: PathBuf| {
            MountBuilder::default().destination(destination).typ("bind").source(source).build().unwrap()
        };
        let mut spec = Spec::default();
        spec.set_mounts(Some(vec![
            mount("/data", volume.path().to_owned()),
            mount("/app.wasm", volume.path().join("file")),
        ]));
        assert_eq!(read(&spec, root.path(), "/file").unwrap(), "root");
        assert_eq!(read(&spec, root.path(), "/link").unwrap(), "root");
        assert_eq!(read(&spec, root.path(), "/data/file").unwrap(), "volume");
        assert_eq!(read(&spec, root.path(), "/data/../file").unwrap(), "volume");
        assert_eq!(read(&spec, root.path(), "/app.wasm").unwrap(), "volume");
        assert_eq!(read(&spec, root.path(), "/outside").unwrap_err().kind(), io::ErrorKind::NotFound);
        let there = |path: &str| exists(&spec, &Root::new(root.path()).unwrap(), Path::new(path));
        assert!(there("/") && there("/data") && there("/file") && !there("/outside") && !there("/none"));
    }

    #[test]
    fn a_fifo_is_neither_opened_in_the_root_nor_as_the_source_of_a_mount() {
        let root = tempfile::tempdir().unwrap();
        let fifo = root.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut spec = Spec::default();
        let mount = MountBuilder::default().destination("/app").typ("bind").source(&fifo).build().unwrap();
        spec.set_mounts(Some(vec![mount]));
        for path in ["/fifo", "/app"] {
            let error = read(&spec, root.path(), path).unwrap_err().to_string();
            assert_eq!(error, "permission denied: it is a FIFO, not a regular file", "{path}");
        }
    }
}
