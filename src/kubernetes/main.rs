//! `wasmedge-kubernetes`: the part of an installation in a Kubernetes cluster that talks to the API server, without any
//! rights on the nodes. What works on the nodes is `containerd-shim-wasmedge-v1 install`, without any rights at the API server.

mod api;
#[cfg(test)]
mod fake;
mod leave;
mod node;
mod options;
mod pods;
#[cfg(test)]
mod tests;
mod watch;

use std::{fs, io, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use kube::Client;
use options::{Command, HELP};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", env!("CARGO_BIN_NAME"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let command = options::parse(std::env::args_os().skip(1))?;
    if let Command::Help = command {
        print!("{HELP}");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // The first process of a container is ended by no signal that it does not ask for.
        let mut ended = signal(SignalKind::terminate())?;
        let goes_on = matches!(command, Command::Watch(_) | Command::Hold);
        tokio::select! {
            done = carry_out(command) => done,
            _ = ended.recv() => if goes_on { Ok(()) } else { bail!("ended by SIGTERM before it was done") },
        }
    })
}

async fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Help => Ok(()),
        Command::Watch(settings) => watch::watch(client().await?, &settings).await,
        Command::Leave(settings) => leave::leave(client().await?, &settings).await,
        Command::Forget => leave::forget(client().await?).await,
        Command::Purge(directories) => directories.iter().try_for_each(purge),
        Command::Hold => std::future::pending().await,
    }
}

async fn client() -> Result<Client> {
    Client::try_default().await.context("the API server is not known")
}

/// Removes a directory with all that is in it.
fn purge(directory: &PathBuf) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", directory.display())),
    }
}
