//! `containerd-shim-wasmedge-v1`: what containerd talks to.
//!
//! containerd executes this program twice per pod (runtime-v2): `start`, which leaves a daemon behind and prints its
//! address; `delete`, which cleans up after a daemon that is gone. The daemon serves the task API for all containers of
//! the pod. None of them runs containers: the engine host does.
//!
//! All of the program, so that the fuzz targets reach what it parses; main.rs only calls it.

mod bootstrap;
mod cgroup;
mod cleanup;
mod engine;
mod error;
mod events;
mod features;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod install;
mod limits;
mod logging;
mod options;
mod sandbox;
mod serve;
mod socket;
mod start;
mod starting;
mod stdio;
mod task;
mod title;
mod tracing;
mod trim;

use std::{path::PathBuf, process::ExitCode};

/// The runtime's name, by which containerd finds this binary.
const RUNTIME: &str = "io.containerd.wasmedge.v1";

/// The program called `name`: reads the command line and does what it says.
pub fn main(name: &str) -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().map(PathBuf::from).unwrap_or_default();
    let args: Vec<_> = args.collect();
    if called.file_name().is_some_and(|name| name == wasmedge_shim_payload::ENGINE) {
        return done(engine::command(&args));
    }
    if let Some(args) = args.split_first().and_then(|(first, args)| (first == engine::NAME).then_some(args)) {
        return done(engine::command(args));
    }
    if args.first().is_some_and(|first| first == sandbox::NAME) {
        return done(sandbox::command());
    }
    if let Some(code) = install::command(&args) {
        return code;
    }
    let flags = match containerd_shim::parse(&args) {
        Ok(flags) => flags,
        Err(error) => return fail(&error),
    };
    if flags.version {
        println!("{name}:\n  Version: {}\n  Runtime: {RUNTIME}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match (flags.action.as_str(), flags.info) {
        ("start", false) => start::command(&flags).unwrap_or_else(|error| {
            // containerd shows what is on stderr, in the middle of a line of its own.
            eprint!("{error:#}");
            ExitCode::FAILURE
        }),
        ("delete", false) => done(cleanup::command(&flags)),
        (_, true) => done(bootstrap::answer_info(&features::runtime_info(RUNTIME))),
        (action, false) => fail(&format!("containerd starts this program with start or delete, not \"{action}\"")),
    }
}

fn done(done: anyhow::Result<()>) -> ExitCode {
    done.map_or_else(|error| fail(&format!("{error:#}")), |()| ExitCode::SUCCESS)
}

fn fail(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{RUNTIME}: {error}");
    ExitCode::FAILURE
}
