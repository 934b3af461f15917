//! Measures containerd runtimes side by side, through containerd's gRPC API and in one interleaved run: latency of each
//! lifecycle verb, throughput, and the memory of idle containers. README.md tells how to run it and how to read it.

mod container;
mod containerd;
mod fifos;
mod floors;
mod idle;
mod image;
mod interrupt;
mod latency;
mod machine;
mod options;
mod proc;
mod record;
mod report;
mod spec;
mod stats;
mod subject;
mod sweep;
mod throughput;

use std::process::ExitCode;

use anyhow::Result;

use containerd::Containerd;
use options::{Command, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let options = options::parse(std::env::args_os().skip(1))?;
    if options.command == Command::Help {
        print!("{}", options::USAGE);
        return Ok(ExitCode::SUCCESS);
    }
    interrupt::outlive_the_parent()?;
    let _lock = sweep::lock()?;
    let containerd = Containerd::connect(&options.address, &options.snapshotter).await?;
    sweep::sweep(&containerd).await?;

    let outcome = tokio::select! {
        outcome = command(&containerd, &options) => outcome,
        error = interrupt::patience_is_over() => Err(error),
    };
    let swept = sweep::sweep(&containerd).await;
    let code = outcome?;
    swept?;
    Ok(code)
}

async fn command(containerd: &Containerd, options: &Options) -> Result<ExitCode> {
    match options.command {
        Command::Measure => {
            let record = record::measure(containerd, options).await?;
            print!("{}", report::markdown(&record));
            eprintln!("raw samples: {}", record.write(&options.output)?.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Floors => floors::check(containerd, options).await,
        Command::Clean | Command::Help => Ok(ExitCode::SUCCESS),
    }
}
