//! Which engine a shim uses: one that the options name, the one in the shim's own file, or one that is installed beside it.

use std::{
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use wasmedge_shim_payload::{DIRECTORY, ENGINE, InUse, LIBRARY_PATH, Payload, Store};

/// Files in the bundle with what the runtime options say: the path of an engine, the directory to unpack the own one to.
const REMEMBERED: [&str; 2] = ["wasmedge-engine-path", "wasmedge-engine-directory"];

/// The search path of a process without `PATH`.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where the engine comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The runtime option `engine.path`.
    Named(PathBuf),
    /// This program's own file.
    Packed(Store, Payload),
    /// A file beside this program, or else in `PATH`.
    Installed,
}

/// Whether engines of other versions are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// They are: this program is what is installed.
    Remove,
    /// They are not: this program may have been replaced.
    Keep,
}

impl Source {
    /// By the options `engine.path` and `engine.directory`.
    pub fn new(path: Option<PathBuf>, directory: Option<PathBuf>) -> Self {
        let packed = || Payload::own().map(|own| Self::Packed(Store::new(directory.unwrap_or(DIRECTORY.into())), own));
        path.map(Self::Named).or_else(packed).unwrap_or(Self::Installed)
    }

    /// By what `start` was told in this bundle, in which containerd runs every action.
    pub fn remembered() -> Self {
        let [path, directory] =
            REMEMBERED.map(|name| fs::read(name).ok().map(|path| PathBuf::from(std::ffi::OsString::from_vec(path))));
        Self::new(path, directory)
    }

    /// Lets the later actions in this bundle find the same engine.
    ///
    /// # Errors
    /// The bundle cannot be written to.
    pub fn remember(&self) -> io::Result<()> {
        match self {
            Self::Named(path) => fs::write(REMEMBERED[0], path.as_os_str().as_encoded_bytes()),
            Self::Packed(store, _) if store.directory() != Path::new(DIRECTORY) => {
                fs::write(REMEMBERED[1], store.directory().as_os_str().as_encoded_bytes())
            }
            Self::Packed(..) | Self::Installed => Ok(()),
        }
    }

    /// The engine's file. One that is to be unpacked need not be there yet.
    ///
    /// # Errors
    /// Names the places where no engine was found.
    pub fn engine(&self) -> Result<PathBuf> {
        match self {
            Self::Named(path) => Ok(path.clone()),
            Self::Packed(store, payload) => Ok(store.engine(payload)),
            Self::Installed => installed(),
        }
    }

    /// Sees to it that the engine is there, whole and unchanged, as far as it is this program's to do so.
    ///
    /// # Errors
    /// It cannot be unpacked.
    pub fn prepare(&self, others: Others) -> Result<Option<InUse>> {
        let Self::Packed(store, payload) = self else { return Ok(None) };
        let held = store.ensure(payload)?;
        if others == Others::Remove
            && let Err(error) = store.remove_others(payload)
        {
            log::warn!("engines of other versions stay: {error}");
        }
        Ok(Some(held))
    }

    /// What its environment has to have.
    pub fn environment(&self) -> Option<(&'static str, PathBuf)> {
        let Self::Packed(store, payload) = self else { return None };
        Some((LIBRARY_PATH, store.place(payload)))
    }
}

fn installed() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own path")?;
    let beside = own.with_file_name(ENGINE);
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut found = std::iter::once(beside.clone()).chain(std::env::split_paths(&path).map(|dir| dir.join(ENGINE)));
    found
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{ENGINE} is neither at {} nor in PATH", beside.display()))
}
