//! Why there is no engine.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The result of what may fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a payload cannot be unpacked or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shim's file is not what it was when it was packed.
    #[error("this program's own file is damaged: {0}; install it again")]
    Damaged(String),
    /// A file or directory cannot be used.
    #[error("cannot {doing} {path}: {cause}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        cause: io::Error,
    },
    /// There is no room for it.
    #[error(
        "cannot unpack the engine to {path}: {cause}; it takes {mib} MiB there, and the runtime option engine.directory names \
         another place"
    )]
    NoRoom {
        /// The directory.
        path: PathBuf,
        /// What the kernel says.
        cause: io::Error,
        /// What is needed, in MiB.
        mib: u64,
    },
}

/// What failed, to be given a cause.
pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + use<'a> {
    move |cause| Error::Io { doing, path: path.to_owned(), cause }
}
