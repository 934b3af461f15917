//! The programs of this runtime, and where they are found.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
pub use wasmedge_shim_payload::ENGINE;
use wasmedge_shim_payload::Payload;

use super::{process::Process, root::Root};
use crate::engine::DEFAULT_PATH;

/// The shim's file, whose name containerd makes from the runtime's.
pub const SHIM: &str = "containerd-shim-wasmedge-v1";

/// What is put into place under a program's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A copy of this file.
    File(PathBuf),
    /// A link to the other program.
    Link(&'static str),
}

/// The programs to install, by their names: this one; and the engine, which lies beside it, or is in this one's own file.
///
/// # Errors
/// This program's own file is not known.
pub fn own() -> Result<Vec<(&'static str, Source)>> {
    let shim = std::env::current_exe().context("cannot find this program's own path")?;
    let beside = shim.with_file_name(ENGINE);
    let engine = match Payload::own() {
        Some(_) => Some(Source::Link(SHIM)),
        None => beside.is_file().then_some(Source::File(beside)),
    };
    let engine = engine.map(|engine| (ENGINE, engine));
    Ok([(SHIM, Source::File(shim))].into_iter().chain(engine).collect())
}

/// The directories in which `process` looks for programs.
pub fn search_path(process: Option<&Process>) -> Vec<PathBuf> {
    let path = process.and_then(Process::search_path).unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path).collect()
}

/// How containerd's configuration names the shim at `prefix`: by the runtime's name where its search comes to that file,
/// so that `--runtime io.containerd.wasmedge.v1` is the same; else by its path. containerd since 1.7 takes both.
pub fn runtime_type(root: &Root, prefix: &Path, process: Option<&Process>) -> String {
    let directories = search_path(process);
    let first = directories.iter().find(|directory| *directory == prefix || root.has_program(&directory.join(SHIM)));
    match first.is_some_and(|first| first == prefix) {
        true => crate::RUNTIME.into(),
        false => prefix.join(SHIM).display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn the_runtime_is_named_where_the_search_comes_to_it_and_else_its_path_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        let of = |prefix| runtime_type(&root, Path::new(prefix), None);
        assert_eq!(of("/usr/local/bin"), "io.containerd.wasmedge.v1");
        assert_eq!(of("/opt/wasmedge"), "/opt/wasmedge/containerd-shim-wasmedge-v1");
        // Another one comes before it.
        let other = dir.path().join("usr/local/sbin").join(SHIM);
        fs::create_dir_all(other.parent().unwrap()).unwrap();
        fs::write(&other, "").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of("/usr/local/bin"), "/usr/local/bin/containerd-shim-wasmedge-v1");
    }
}
