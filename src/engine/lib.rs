//! `wasmedge-engine`: runs containers for `containerd-shim-wasmedge-v1`, and modules by hand.
//!
//! All of the program, so that the fuzz targets reach what it parses; main.rs only calls it.

mod aot;
mod cache;
mod clone;
mod compile;
mod containerd;
mod files;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod guest;
mod hierarchies;
mod host;
mod journal;
mod metrics;
mod noted;
mod run;
mod sandbox;
mod seccomp;
mod status;
mod traces;
mod wasm;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::Location;

/// Environment variable with the process id of containerd, in whose cgroup the host belongs.
const BESIDE: &str = "WASMEDGE_ENGINE_BESIDE";

const HELP: &str = "\
Runs WebAssembly in WasmEdge.

Usage:
  wasmedge-engine run [--dir GUEST:HOST]... [--env NAME=VALUE]... MODULE[#FUNCTION] [ARG]...
                                 runs a module without a container
  wasmedge-engine compile [-O 0|1|2|3|s|z] MODULE OUTPUT
                                 compiles a module to native code, in a process without privileges
  wasmedge-engine cache list | verify | prune [--all] [--to MIB]
                                 the node's native code: shows it, checks it, removes that of other engines (or all,
                                 or what was used longest ago)
  wasmedge-engine cache warm [-O 0|1|2|3|s|z] [--namespace NAME] [--address SOCKET] FILE|IMAGE...
                                 compiles modules before the first container needs them: that of a file, or those of
                                 an image in containerd's namespace (default; Kubernetes' is k8s.io, Docker's moby)
  wasmedge-engine status [--json]
                                 what runs on this node: engine hosts, containers, compilers, the cache
  wasmedge-engine host --socket PATH [--engine PATH] [--patience SECONDS]
                                 serves the shims of this node; started by them; ends its workers for requests that
                                 take longer than that (120), for deletions and updates half of it
  wasmedge-engine --version | --help
";

/// The program: reads the command line and does what it says.
pub fn main() -> ExitCode {
    journal::begin();
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wasmedge-engine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<ExitCode> {
    let mut parser = Parser::from_env();
    match parser.next()? {
        Some(Arg::Value(command)) => match command.string()?.as_str() {
            "host" => host_command(parser),
            "run" => run::command(parser),
            "compile" => compile::command(parser),
            "cache" => {
                end_by_closed_pipes();
                cache::command(parser)
            }
            "status" => {
                end_by_closed_pipes();
                status::command(parser)
            }
            other => bail!("there is no command \"{other}\"; see wasmedge-engine --help"),
        },
        Some(Arg::Short('v') | Arg::Long("version")) => {
            println!("wasmedge-engine {} (WasmEdge {})", env!("CARGO_PKG_VERSION"), wasm::version());
            Ok(ExitCode::SUCCESS)
        }
        Some(Arg::Short('h') | Arg::Long("help")) | None => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Lets a reader who has seen enough (`| head`) end this program, as it ends others: Rust begins with that signal ignored, and
/// to print would be a panic.
fn end_by_closed_pipes() {
    // SAFETY: sets what a signal does.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

fn host_command(mut parser: Parser) -> Result<ExitCode> {
    let (mut socket, mut engine) = (None::<PathBuf>, std::env::current_exe()?);
    let mut patience = host::PATIENCE;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("socket") => socket = Some(parser.value()?.into()),
            Arg::Long("engine") => engine = parser.value()?.into(),
            Arg::Long("patience") => patience = Duration::from_secs(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let socket = socket.context("host needs --socket")?;
    let location = Location::new(socket.parent().context("--socket needs a directory")?);
    // Not an argument: containerd's process id changes, the host's command line should not.
    let beside = std::env::var(BESIDE).ok();
    // SAFETY: the process has one thread. What is in the environment of the host can be seen in that of containers.
    unsafe { std::env::remove_var(BESIDE) };
    if let Some(pid) = beside.and_then(|pid| pid.parse().ok())
        && let Err(error) = sandbox::join_cgroups_of(pid)
    {
        log::warn!("the engine host stays in its starter's cgroup: {error}");
    }
    host::serve(location, &socket, &engine, patience)?;
    Ok(ExitCode::SUCCESS)
}
