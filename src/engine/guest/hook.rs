//! A hook of the OCI spec: a program that is told the container's state.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use oci_spec::runtime::Hook;

/// Runs the hook with `state` on its standard input and, where it names none of its own, the environment `env`.
///
/// # Errors
/// One line: it could not be started, took longer than its timeout, or failed.
pub fn run(hook: &Hook, state: &[u8], env: &[String]) -> Result<(), String> {
    run_to_its_end(hook, state, env).map_err(|cause| format!("the hook {} failed: {cause}", hook.path().display()))
}

fn run_to_its_end(hook: &Hook, state: &[u8], env: &[String]) -> Result<(), String> {
    let mut command = Command::new(hook.path());
    if let Some((name, args)) = hook.args().as_deref().and_then(<[String]>::split_first) {
        command.arg0(name).args(args);
    }
    let env = hook.env().as_deref().unwrap_or(env).iter().filter_map(|entry| entry.split_once('='));
    command.env_clear().envs(env).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("cannot start it: {error}"))?;
    let group = Pid::from_raw(child.id().cast_signed());
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading it is no failure.
        let _ = stdin.write_all(state);
    }
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let deadline = timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let status = loop {
        match (child.try_wait().map_err(|error| error.to_string())?, deadline) {
            (Some(status), _) => break status,
            (None, Some(deadline)) if Instant::now() > deadline => {
                let _ = killpg(group, Signal::SIGKILL);
                let _ = child.wait();
                return Err(format!("it took longer than {} s", timeout.unwrap_or_default()));
            }
            (None, _) => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}
