//! An engine that a shim has unpacked: its libraries lie beside it, where only the environment says so.
//!
//! What the host executes is not to be given them: a program of the node with the C library of another system does not start.

use std::{
    ffi::OsString,
    io,
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::OnceLock,
};

use wasmedge_shim_payload::{InUse, LIBRARY_PATH};

use super::anew;

/// What it was.
static FOUND_BY: OnceLock<OsString> = OnceLock::new();

/// What holds the engine, until the end of this process.
static HELD: OnceLock<Box<dyn AsFd + Send + Sync>> = OnceLock::new();

/// Takes the libraries' place out of the environment, and holds what is unpacked around `engine`, if it was, for as long as this
/// process lives. The process must have one thread.
///
/// # Errors
/// It cannot be locked.
pub fn settle(engine: &Path) -> io::Result<()> {
    if let Some(path) = std::env::var_os(LIBRARY_PATH) {
        // SAFETY: the caller's promise.
        unsafe { std::env::remove_var(LIBRARY_PATH) };
        let _ = FOUND_BY.set(path);
    }
    if let Some(held) = anew::inherited_hold() {
        let _ = HELD.set(Box::new(held));
    } else if let Some(held) = engine.parent().map(InUse::hold).transpose()?.flatten() {
        let _ = HELD.set(Box::new(held));
    }
    Ok(())
}

/// What the environment of this program has to have.
pub fn environment() -> Option<(&'static str, &'static OsString)> {
    FOUND_BY.get().map(|path| (LIBRARY_PATH, path))
}

/// What holds the engine.
pub fn held() -> Option<BorrowedFd<'static>> {
    HELD.get().map(|held| held.as_fd())
}
