//! The engine's own commands, for a shim that brings the engine along: `containerd-shim-wasmedge-v1 engine …`, or through a link
//! to it that is called `wasmedge-engine`.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use super::source::{Others, Source};

/// The first argument that leads here.
pub const NAME: &str = "engine";

/// Becomes the engine with these arguments; `--directory DIR` before them says where it is unpacked to (the runtime option
/// `engine.directory`).
///
/// # Errors
/// There is no engine, or it cannot be started.
pub fn command(args: &[OsString]) -> Result<()> {
    let (directory, args) = match args {
        [option, rest @ ..] if option == "--directory" => match rest {
            [directory, rest @ ..] => (Some(PathBuf::from(directory)), rest),
            [] => bail!("--directory needs a directory"),
        },
        _ => (None, args),
    };
    let source = Source::new(None, directory);
    let _held = source.prepare(Others::Keep)?;
    let engine = source.engine()?;
    let error = Command::new(&engine).args(args).envs(source.environment()).exec();
    Err(error).with_context(|| format!("cannot start the engine {}", engine.display()))
}
