//! `wasmedge-engine compile`: a module to native code in a file.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::Optimization;

use crate::{aot::compile_apart, wasm::Features};

/// Parses the arguments and compiles.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let mut optimization = Optimization::O2;
    let mut paths = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('O') => optimization = optimization_of(&mut parser)?,
            Arg::Value(path) => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let [module, output] = paths.as_slice() else { bail!("compile needs a module and an output file") };
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let native = compile_apart(&bytes, Features::default(), optimization)
        .with_context(|| format!("cannot compile {}", module.display()))?;
    write_atomically(native, output).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// What stands behind `-O`.
pub fn optimization_of(parser: &mut Parser) -> Result<Optimization> {
    let letter = parser.value()?.string()?;
    format!("O{letter}").parse().map_err(|()| anyhow!("-O{letter}: 0, 1, 2, 3, s or z is expected"))
}

/// Puts the file in place as a whole or not at all.
fn write_atomically(mut content: File, path: &Path) -> Result<()> {
    let name = path.file_name().context("it has no file name")?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&temporary).and_then(|mut file| {
        io::copy(&mut content, &mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // The error that matters is the one of writing.
        let _ = fs::remove_file(&temporary);
    }
    Ok(written?)
}
