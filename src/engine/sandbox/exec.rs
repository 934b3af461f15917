//! Another program in a container that runs: a process of the container's cgroups and namespaces, a child of the host.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use anyhow::{Context, Result, anyhow, bail};
use libcontainer::syscall::syscall::create_syscall;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use oci_spec::runtime::{Process, Spec};
use wasmedge_shim_protocol::{ContainerKey, Exec, Failure, FailureKind, Location, Reply};

use super::{
    cgroup::Birth,
    handover, lookup, namespaces, native_code, plugins,
    sibling::{self, Sibling},
    state::{Init, Record, State},
    translate,
};
use crate::{
    guest::{EXEC_FAILED, Finished, Sandbox, Tenant, become_program, exit_now},
    wasm::Limits,
};

/// Runs the program whose description, an OCI `process` in JSON, is in `process`.
///
/// # Errors
/// Names the cause; nothing of the program runs then.
pub fn exec(location: &Location, request: &Exec, process: OwnedFd, stdio: [OwnedFd; 3]) -> Finished {
    let state = State::new(location, &request.key);
    let Some((record, init)) = state.load().and_then(|record| record.init.map(|init| (record, init))) else {
        return Err(Failure::new(FailureKind::NotFound, format!("container {} not found", request.key)));
    };
    if !init.exists() {
        let cause = format!("container {} has ended", request.key);
        return Err(Failure::new(FailureKind::FailedPrecondition, cause));
    }
    let stdio = (!request.terminal).then_some(stdio);
    let started = parse(process).and_then(|process| start(location, &request.key, &record, init, process, stdio));
    started.map_err(|error| Failure::internal(format!("{error:#}")))
}

fn parse(file: OwnedFd) -> Result<Process> {
    let (mut file, mut text) = (File::from(file), Vec::new());
    file.rewind().and_then(|()| file.read_to_end(&mut text)).context("cannot read the process's description")?;
    serde_json::from_slice(&text).context("the process's description is not an OCI process")
}

fn start(
    location: &Location,
    key: &ContainerKey,
    record: &Record,
    init: Init,
    mut process: Process,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<(Reply, Vec<OwnedFd>)> {
    // containerd's own: ours lacks what is done by hand.
    let path = record.bundle.join("config.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec: Spec = serde_json::from_slice(&text).with_context(|| format!("{} is no spec", path.display()))?;
    inherit(&mut process, &spec);
    translate::spell_out_capabilities(&mut process);
    let proc = File::open("/proc").context("cannot open /proc")?;
    let native = match lookup::module(&process, &|path| lookup::open_in(init.pid, path)) {
        Some(file) => {
            plugins::load(&record.settings.plugins)?;
            let asker = native_code::Asker::program(key, spec.annotations().as_ref());
            let features = record.settings.features();
            native_code::obtain(location, &asker, &record.aot, features, file, record.layers.as_ref())?
        }
        None => None,
    };
    let native = native.map(|file| native_code::Detached::new(&file, &record.aot)).transpose()?;
    let mut sandbox = Sandbox {
        limits: Limits { memory: record.memory, ..Limits::default() },
        apparmor_profile: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        proc: proc.as_raw_fd(),
        native: None,
        settings: record.settings.clone(),
    };
    limit(&process, &spec)?;
    let birth = Birth::beside(&record.cgroups, init.pid).context("cannot enter the container's cgroup")?;
    namespaces::join(init.pid).context("cannot enter the container's namespaces")?;
    translate::set_home(&mut process, &passwd().unwrap_or_default());
    let shown = native.map(native_code::Detached::show).transpose()?.flatten();
    sandbox.native = shown.as_ref().map(|shown| shown.native.clone());
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    spawn(Tenant { process, seccomp, sandbox, for_module: record.module, stdio }, &birth)
}

/// What runc takes from the container where the process has nothing of its own.
fn inherit(process: &mut Process, spec: &Spec) {
    let Some(init) = spec.process() else { return };
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(init.rlimits().clone());
    }
    if process.apparmor_profile().as_deref().unwrap_or_default().is_empty() {
        process.set_apparmor_profile(init.apparmor_profile().clone());
    }
    if process.no_new_privileges().is_none() {
        process.set_no_new_privileges(init.no_new_privileges());
    }
    if process.capabilities().is_none() {
        process.set_capabilities(init.capabilities().clone());
    }
}

/// Sets what takes privileges that are lost in the container's user namespace.
fn limit(process: &Process, spec: &Spec) -> Result<()> {
    if let Some(score) = spec.process().as_ref().and_then(oci_spec::runtime::Process::oom_score_adj) {
        fs::write("/proc/self/oom_score_adj", score.to_string()).context("cannot write oom_score_adj")?;
    }
    let syscall = create_syscall();
    for rlimit in process.rlimits().iter().flatten() {
        syscall.set_rlimit(rlimit).map_err(|error| anyhow!("cannot set {:?}: {error}", rlimit.typ()))?;
    }
    Ok(())
}

/// The container's `passwd` file; this process's root is the container's.
fn passwd() -> io::Result<String> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open("/etc/passwd")?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("no file"));
    }
    io::read_to_string(file)
}

/// Makes the process and waits until it is the program: its end of the channel is closed by execve, or by a module's
/// hardening.
fn spawn(tenant: Tenant, birth: &Birth) -> Result<(Reply, Vec<OwnedFd>)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let terminal = tenant.stdio.is_none();
    let (pid, pidfd) = match sibling::make(0, birth).context("cannot make a process in the container")? {
        Sibling::Made(pid, pidfd) => (pid, pidfd),
        Sibling::Child(born) => {
            drop(ours);
            let cause = match birth.arrive(born) {
                Ok(()) => become_program(tenant, |master| {
                    handover::send(&theirs, &[], Some(&master))
                        .map_err(|error| format!("sending the terminal: {error}"))
                }),
                Err(error) => error.to_string(),
            };
            // A worker that is gone has nobody left to tell.
            let _ = handover::send(&theirs, cause.as_bytes(), None);
            exit_now(EXEC_FAILED);
        }
    };
    drop(theirs);
    let mut fds = vec![pidfd];
    loop {
        match handover::receive(&ours).context("cannot hear from the new process")? {
            Some((_, Some(master))) => fds.push(master),
            Some((cause, None)) => bail!("exec failed: unable to start container process: {cause}"),
            None => break,
        }
    }
    if terminal && fds.len() != 2 {
        bail!("the new process ended before it had a terminal");
    }
    Ok((Reply::Executed(pid.unsigned_abs()), fds))
}
