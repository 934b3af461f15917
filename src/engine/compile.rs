//! `wasmedge-engine compile`: a module to native code in a file.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::Optimization;

use crate::aot::{compile_apart, write_atomically};

/// Parses the arguments and compiles.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let mut optimization = Optimization::O2;
    let mut paths = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('O') => {
                let letter = parser.value()?.string()?;
                optimization = format!("O{letter}")
                    .parse()
                    .map_err(|()| anyhow::anyhow!("-O{letter}: 0, 1, 2, 3, s or z is expected"))?;
            }
            Arg::Value(path) => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let [module, output] = paths.as_slice() else { bail!("compile needs a module and an output file") };
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let native = compile_apart(&bytes, optimization).with_context(|| format!("cannot compile {}", module.display()))?;
    write_atomically(native, output).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(ExitCode::SUCCESS)
}
