//! Another program in a container that runs: a process of the container's cgroups and namespaces, a child of the host.
//!
//! In stages, as a creation: the request is read and judged; the program is looked for, from outside, in the container's root;
//! the process is made by a helper, which holds nothing of the node when it enters the container; what is left is done
//! beside it. Between them time may pass, and the container may end: whoever it is reached by then is the descriptor of its
//! init that was opened first of all.

use std::{
    fs::{self, File},
    io::{Read, Seek},
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use libcontainer::syscall::syscall::create_syscall;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use oci_spec::runtime::{Process, Spec};
use wasmedge_shim_protocol::{ContainerKey, Exec, Failure, FailureKind, Location, Pidfd, Reply};

use super::{
    cgroup::{Birth, Kills},
    check, handover, home, lookup,
    namespaces::Container,
    native_code::{self, Asker, NativeCode},
    place::proc_for,
    plan, plugins, sibling,
    state::{Record, State},
    translate,
};
use crate::{
    guest::{
        EXEC_FAILED, Finished, Sandbox, SeccompProfile, Tenant, become_program,
        descriptors::{close_all_but, leave_the_log},
        exit_now, hide_from_module,
    },
    journal, noted,
    wasm::Limits,
};

/// Longest description of a process, in bytes; containerd's own bound for a message is 16 MiB.
const MAX_DESCRIPTION: u64 = 16 << 20;

/// What runc says before the cause.
const REFUSED: &str = "exec failed: unable to start container process";

/// How long a process that the kernel has killed may take to end.
const KILL: Duration = Duration::from_millis(100);

/// Runs the program whose description, an OCI `process` in JSON, is in `process`. The process's pidfd comes with the answer,
/// and then the master of its terminal, if it has one.
///
/// # Errors
/// Names the cause; nothing of the program runs then.
pub fn exec(location: &Location, request: &Exec, process: OwnedFd, stdio: [OwnedFd; 3]) -> Finished {
    let state = State::new(location, &request.key);
    let record = state.record().map_err(|error| Failure::internal(format!("{error:#}")))?;
    let Some((record, init)) = record.and_then(|record| record.init.map(|init| (record, init))) else {
        return Err(Failure::new(FailureKind::NotFound, format!("container {} not found", request.key)));
    };
    journal::about(&request.key, record.pod.as_ref());
    let ended = || Failure::new(FailureKind::FailedPrecondition, format!("container {} has ended", request.key));
    let container = match Container::open(init) {
        Ok(Some(container)) => container,
        Ok(None) => return Err(ended()),
        Err(error) => return Err(Failure::internal(format!("cannot use container {}: {error}", request.key))),
    };
    let stdio = (!request.terminal).then_some(stdio);
    run(location, &request.key, &record, &container, process, stdio).map_err(|error| match container.has_ended() {
        true => ended(),
        false => Failure::internal(format!("{error:#}")),
    })
}

fn run(
    location: &Location,
    key: &ContainerKey,
    record: &Record,
    container: &Container,
    process: OwnedFd,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<(Reply, Vec<OwnedFd>)> {
    // containerd's own: ours lacks what is done by hand.
    let spec = plan::load(&record.bundle.join("config.json"))?;
    let mut process = parse(process)?;
    check::process(&process)?;
    inherit(&mut process, &spec);
    translate::spell_out_capabilities(&mut process);

    let open = |path: &std::path::Path| container.root().open(path);
    home::set(&mut process, &open);
    let module = lookup::module(&process, &open);
    let for_module = module.is_some();
    noted::program(for_module);
    let limits = Limits { memory: record.memory, ..Limits::default() };
    let code = match module {
        Some(file) => {
            let features = record.settings.features();
            let asker = Asker::program(key, spec.annotations().as_ref(), &limits);
            let entry = native_code::obtain(location, &asker, &record.aot, features, file, record.layers.as_ref())?;
            plugins::load(&record.settings.plugins)?;
            entry.map(|entry| NativeCode::new(entry, &record.aot)).transpose()?.flatten()
        }
        None => None,
    };
    let apparmor_profile = process.apparmor_profile().clone().filter(|profile| !profile.is_empty());
    let proc = proc_for(apparmor_profile.as_deref())?;
    let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().clone());
    let seccomp = SeccompProfile::new(seccomp, &process, for_module);
    let sandbox = Sandbox {
        for_module,
        seccomp: seccomp.late,
        limits,
        apparmor_profile,
        proc: proc.as_ref().map(AsRawFd::as_raw_fd),
        hooks: false,
        native: code.as_ref().map(NativeCode::for_process),
        settings: record.settings.clone(),
    };
    let hidden = for_module && !record.module;
    let oom_score = spec.process().as_ref().and_then(Process::oom_score_adj);
    let birth = Birth::beside(&record.cgroups, container.pid()).context("cannot enter the container's cgroup")?;
    ensure!(!container.has_ended(), "it has ended");
    let tenant = Tenant { process, seccomp: seccomp.early, sandbox, stdio };
    let kills = Kills::from_now(&record.cgroups);
    spawn(Making { tenant, hidden, oom_score }, container, &birth, &kills).map_err(|error| match kills.any() {
        // Another process of the container may be the one, as runc says too.
        true => anyhow!(
            "{REFUSED}: {} (possibly OOM-killed)",
            format!("{error:#}").trim_start_matches(REFUSED).trim_start_matches(": ")
        ),
        false => error,
    })
}

fn parse(file: OwnedFd) -> Result<Process> {
    let (mut file, mut text) = (File::from(file), Vec::new());
    file.rewind().context("cannot read the process's description")?;
    file.take(MAX_DESCRIPTION + 1).read_to_end(&mut text).context("cannot read the process's description")?;
    ensure!(text.len() as u64 <= MAX_DESCRIPTION, "the process's description has more than {MAX_DESCRIPTION} bytes");
    serde_json::from_slice(&text).context("the process's description is not an OCI process")
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

/// What a process is made of.
struct Making {
    tenant: Tenant,
    /// It sees less than the container.
    hidden: bool,
    oom_score: Option<i32>,
}

/// Makes the process and waits until it is the program: its end of the channel is closed by execve, or by a module's
/// hardening.
fn spawn(making: Making, container: &Container, birth: &Birth, kills: &Kills) -> Result<(Reply, Vec<OwnedFd>)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let terminal = making.tenant.stdio.is_none();
    let streams = making.tenant.stdio.iter().flatten().map(AsRawFd::as_raw_fd);
    let keep: Vec<RawFd> = streams.chain(making.tenant.sandbox.descriptors()).chain([theirs.as_raw_fd()]).collect();
    let (pid, pidfd) = sibling::by_helper(birth, |answer| {
        enter(&making, container, &keep, answer)?;
        sibling::plain(|| {
            // All that the helper still had: its answer's socket.
            let cause = match close_all_but(&keep) {
                Ok(()) => become_program(making.tenant, |master| {
                    handover::send(&theirs, &[], Some(&master))
                        .map_err(|error| format!("sending the terminal: {error}"))
                }),
                Err(error) => format!("closing inherited descriptors: {error}"),
            };
            // A worker that is gone has nobody left to tell.
            let _ = handover::send(&theirs, cause.as_bytes(), None);
            exit_now(EXEC_FAILED);
        })
    })?;
    drop(theirs);
    let mut fds = vec![pidfd];
    // The terminal's master comes before anything of the program is opened; later descriptors are nobody's.
    let mut master_is_due = terminal;
    loop {
        match handover::receive(&ours).context("cannot hear from the new process")? {
            Some((_, Some(master))) if master_is_due => {
                master_is_due = false;
                fds.push(master);
            }
            Some((_, Some(_))) => bail!("the new process sent a descriptor that was not asked for"),
            Some((cause, None)) => bail!("{REFUSED}: {cause}"),
            None => break,
        }
    }
    ensure!(!master_is_due, "{REFUSED}: it ended before it had a terminal");
    // Its end closes the channel as well. The kernel counts a kill before.
    if kills.any() {
        let process = Pidfd::from(fds[0].try_clone()?);
        ensure!(!process.wait(KILL)?, "{REFUSED}: it has ended");
    }
    Ok((Reply::Executed(pid.unsigned_abs()), fds))
}

/// In the helper, which is in the container's cgroups: into the container.
///
/// The order: the node's descriptors go first, but for its `/proc`; what needs the node's rights follows, while this process
/// has them; then the namespaces, where the next child will be; what a module must not see is hidden last, in the
/// container's mount namespace, and the node's `/proc` is closed, which told what is mounted there. The helper itself stays in the
/// node's pid namespace, so the container's processes do not reach it meanwhile.
fn enter(making: &Making, container: &Container, keep: &[RawFd], answer: RawFd) -> Result<()> {
    leave_the_log().context("cannot leave the engine's log")?;
    let proc = File::open("/proc").context("cannot open /proc")?;
    let own = container.descriptors().into_iter().chain([answer, proc.as_raw_fd()]);
    close_all_but(&keep.iter().copied().chain(own).collect::<Vec<_>>()).context("closing inherited descriptors")?;
    if let Some(score) = making.oom_score {
        fs::write("/proc/self/oom_score_adj", score.to_string()).context("cannot write oom_score_adj")?;
    }
    let syscall = create_syscall();
    for rlimit in making.tenant.process.rlimits().iter().flatten() {
        syscall.set_rlimit(rlimit).map_err(|error| anyhow!("cannot set {:?}: {error}", rlimit.typ()))?;
    }
    container.enter().context("cannot enter the container's namespaces")?;
    if making.hidden {
        hide_from_module(proc.as_fd()).map_err(anyhow::Error::msg)?;
    }
    drop(proc);
    container.close();
    Ok(())
}
