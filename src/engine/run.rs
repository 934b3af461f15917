//! `wasmedge-engine run`: a module without a container, to try it out. It has this process's rights; only what is
//! named with `--dir` is open to it.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result, anyhow};
use lexopt::{Arg, Parser, ValueExt};

use crate::{
    guest::TRAP_EXIT_CODE,
    wasm::{Directory, Ending, Features, Invocation, Limits, Program, Reach, World},
};

/// `GUEST:PATH`, or one path for both, and `:readonly` behind either.
fn directory(text: &str) -> Directory {
    let (text, read_only) = text.strip_suffix(":readonly").map_or((text, false), |text| (text, true));
    let (name, path) = text.split_once(':').unwrap_or((text, text));
    Directory { name: name.to_owned(), path: path.into(), reach: Reach::Beneath, read_only }
}

/// Parses the arguments and runs.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let mut world = World::default();
    let module = loop {
        match parser.next()?.context("run needs a module")? {
            Arg::Long("dir") => world.directories.push(directory(&parser.value()?.string()?)),
            Arg::Long("env") => world.env.push(parser.value()?.string()?),
            Arg::Value(module) => break module.string()?,
            other => return Err(other.unexpected().into()),
        }
    };
    let (path, function) = match module.rsplit_once('#') {
        Some((path, function)) if !fs::exists(&module)? => (path.to_owned(), function.to_owned()),
        _ => (module, Invocation::default().function),
    };
    let args: Vec<String> = parser.raw_args()?.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let bytes = fs::read(&path).with_context(|| format!("cannot read {path}"))?;
    world.args.push(path.clone());
    world.args.extend(args.clone());
    let invocation = Invocation { function, args };
    let program = Program::load(&bytes, &invocation, &Limits::default(), Features::default())
        .map_err(|cause| anyhow!("{path}: {cause}"))?;
    match program.run(&world, None, |_| {}) {
        Ending::Returned(results) => {
            results.iter().for_each(|result| println!("{result}"));
            Ok(ExitCode::SUCCESS)
        }
        Ending::Exited(code) => Ok(ExitCode::from((code & 0xff) as u8)),
        Ending::Trapped(cause) => {
            eprintln!("wasmedge-engine: {path} trapped: {cause}");
            Ok(ExitCode::from(TRAP_EXIT_CODE as u8))
        }
    }
}
