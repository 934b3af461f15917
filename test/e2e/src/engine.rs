//! The product's own processes and files on the node, and the services around it.

use std::{fs, path::PathBuf, time::Duration};

use crate::{process::Process, until, within};

/// Where the engine host keeps its state.
pub const STATE: &str = "/run/containerd-shim-wasmedge";

/// The installed engine.
pub const BINARY: &str = "/usr/local/bin/wasmedge-engine";

/// The directory with the state of a container of containerd's namespace `default`.
pub fn state_of(id: &str) -> PathBuf {
    PathBuf::from(STATE).join("containers/default").join(id)
}

/// Where it writes its log.
pub fn log_path() -> PathBuf {
    PathBuf::from(STATE).join("engine.log")
}

/// The log, from when it was last put aside.
#[track_caller]
pub fn log() -> String {
    fs::read_to_string(log_path()).unwrap_or_else(|error| panic!("{}: {error}", log_path().display()))
}

/// The engine host, if one runs. Its workers have the same name; it is their parent.
pub fn host() -> Option<Process> {
    let all = Process::named("wasmedge-engine");
    all.iter().find(|one| all.iter().all(|other| other.pid != one.parent)).cloned()
}

/// The engine host, which must run.
#[track_caller]
pub fn running_host() -> Process {
    host().expect("the engine host does not run")
}

/// Kills the engine host and waits for its end; where there are hosts of several builds, all of them.
#[track_caller]
pub fn kill_hosts() {
    while let Some(host) = host() {
        host.kill();
        until("the end of the engine host", || (!host.lives()).then_some(()));
    }
}

/// Waits until nothing is compiled any more, so that a test is alone.
#[track_caller]
pub fn quiet() {
    let ended = within(Duration::from_secs(120), || Process::named("wasmedge-aot").is_empty().then_some(()));
    assert!(ended.is_some(), "compilations do not end");
}

/// The shims of this runtime.
pub fn shims() -> Vec<Process> {
    let is_shim = |process: &Process| process.command.contains("containerd-shim-wasmedge-v1") && process.state != 'Z';
    Process::all().into_iter().filter(is_shim).collect()
}

/// The processes that live on after a container.
pub fn services() -> Vec<Process> {
    let mut services = Process::named("containerd");
    services.extend(Process::named("dockerd"));
    services.extend(host());
    services
}

/// The socket on which the engine host listens.
#[track_caller]
pub fn socket() -> PathBuf {
    option("--socket")
}

/// The engine's file that the host was started from: [`BINARY`], or what was unpacked from the shim's own file.
#[track_caller]
pub fn file() -> PathBuf {
    option("--engine")
}

#[track_caller]
fn option(name: &str) -> PathBuf {
    let host = running_host();
    let mut words = host.command.split(' ').skip_while(|word| *word != name);
    words.nth(1).unwrap_or_else(|| panic!("no {name} in {}", host.command)).into()
}
