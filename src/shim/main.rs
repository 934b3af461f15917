//! `containerd-shim-wasmedge-v1`: what containerd talks to.
//!
//! containerd executes this program three times per pod (runtime-v2): `start`, which leaves a daemon behind and
//! prints its address; the daemon, which serves the task API for all containers of the pod; `delete`, which cleans up
//! after a daemon that is gone. None of them runs containers: the engine host does.

mod bootstrap;
mod cgroup;
mod cleanup;
mod engine;
mod error;
mod events;
mod features;
mod options;
mod serve;
mod shim;
mod starting;
mod stdio;
mod task;
mod trim;

use std::process::ExitCode;

use containerd_shim::{Config, asynchronous::run};

/// The runtime's name, by which containerd finds this binary.
const RUNTIME: &str = "io.containerd.wasmedge.v1";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let flags = match containerd_shim::parse(&args) {
        Ok(flags) => flags,
        Err(error) => return fail(&error),
    };
    if flags.version {
        println!("{}:\n  Version: {}\n  Runtime: {RUNTIME}", env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(async {
        if flags.action.is_empty() && !flags.info {
            return serve::serve(&flags).await.map_or_else(|error| fail(&format!("{error:#}")), |()| ExitCode::SUCCESS);
        }
        if flags.action == "start" && !flags.info {
            return match shim::start_command(&flags).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    // containerd shows what is on stderr, in the middle of a line of its own.
                    eprint!("{error:#}");
                    ExitCode::FAILURE
                }
            };
        }
        // The shim has no children to reap: containers are the engine host's.
        let config = Config { no_reaper: true, no_sub_reaper: true, ..Config::default() };
        run::<shim::Shim>(RUNTIME, Some(config)).await;
        ExitCode::SUCCESS
    })
}

fn fail(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("{RUNTIME}: {error}");
    ExitCode::FAILURE
}
