//! A hook of the OCI spec: a program that is told the container's state.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
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
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut input = child.stdin.take().map(|stdin| Input::new(stdin, state));
    let status = loop {
        // The state may be larger than the pipe, and a hook need not read it.
        if input.as_mut().is_some_and(Input::is_done) {
            input = None;
        }
        match (child.try_wait().map_err(|error| error.to_string())?, deadline) {
            (Some(status), _) => break status,
            (None, Some(deadline)) if Instant::now() > deadline => {
                end(&mut child);
                return Err(format!("it took longer than {} s", seconds.unwrap_or_default()));
            }
            (None, _) => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Kills it and all that it has made in its process group.
fn end(child: &mut Child) {
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let _ = child.wait();
}

/// What is written to a hook, as fast as it reads.
struct Input<'a> {
    stdin: ChildStdin,
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    fn new(stdin: ChildStdin, text: &'a [u8]) -> Self {
        // One that blocks all the same costs the hook its deadline only.
        if let Ok(flags) = fcntl(&stdin, FcntlArg::F_GETFL) {
            let _ = fcntl(&stdin, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK));
        }
        Self { stdin, rest: text }
    }

    /// Writes what the pipe takes; whether there is no more to write. A hook that ends without reading is no failure.
    fn is_done(&mut self) -> bool {
        while !self.rest.is_empty() {
            match self.stdin.write(self.rest) {
                Ok(0) => return true,
                Ok(written) => self.rest = &self.rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: i64) -> Hook {
        let text = serde_json::json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "timeout": timeout });
        serde_json::from_value(text).unwrap()
    }

    // Regression test for C15: the deadline began when the state had been written, which a hook can prevent.
    #[test]
    fn a_hook_that_reads_nothing_has_no_more_time_than_others() {
        let state = vec![b'x'; 1 << 20];
        let begin = Instant::now();
        let error = run(&hook("exec sleep 60", 1), &state, &[]).unwrap_err();
        assert_eq!(error, "the hook /bin/sh failed: it took longer than 1 s");
        assert!(begin.elapsed() < Duration::from_secs(10));
        run(&hook("exit 0", 60), &state, &[]).unwrap();
    }

    #[test]
    fn a_hook_reads_all_of_a_state_that_is_larger_than_a_pipe() {
        let state = vec![b'x'; 1 << 20];
        run(&hook("test $(wc -c) = 1048576", 60), &state, &[]).unwrap();
        assert!(run(&hook("test $(wc -c) = 1", 60), &state, &[]).is_err());
    }
}
