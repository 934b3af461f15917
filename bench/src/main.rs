//! Measures containerd runtimes side by side, through containerd's gRPC API and in one interleaved run: latency of each
//! lifecycle verb, throughput, memory of idle containers, starts with and without native code, compute kernels, HTTP.
//! README.md tells how to run it and how to read it.

mod aot;
mod cache;
mod container;
mod containerd;
mod fifos;
mod floors;
mod http;
mod idle;
mod image;
mod interrupt;
mod kernels;
mod latency;
mod load;
mod machine;
mod options;
mod plot;
mod pods;
mod proc;
mod record;
mod report;
mod spec;
mod stats;
mod subject;
mod sweep;
mod task;
mod throughput;

use std::process::ExitCode;

use anyhow::Result;

use containerd::Containerd;
use options::{Command, Options};
use record::Record;

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
    match options.command {
        Command::Help => print!("{}", options::USAGE),
        Command::Plot => plot::write(&Record::read(&options.files)?, "", &options.output)?,
        Command::Cost => print!("{}", report::cost(&Record::read(&options.files)?)),
        _ => return with_containerd(&options).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn with_containerd(options: &Options) -> Result<ExitCode> {
    interrupt::outlive_the_parent()?;
    let _lock = sweep::lock()?;
    let containerd = Containerd::connect(&options.address, &options.snapshotter).await?;
    sweep::sweep(&containerd).await?;

    let outcome = tokio::select! {
        outcome = command(&containerd, options) => outcome,
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
            let mut record = Record::new(containerd, options).await?;
            let outcome = record.measure(containerd, options).await;
            print!("{}", report::markdown(&record));
            eprintln!("raw samples: {}", record.write(&options.output)?.display());
            outcome?;
            plot::write(&record, &format!("{}-", record.stem()), &options.output)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Floors => floors::check(containerd, options).await,
        Command::Pods => pods::measure(options).await.map(|()| ExitCode::SUCCESS),
        _ => Ok(ExitCode::SUCCESS),
    }
}
