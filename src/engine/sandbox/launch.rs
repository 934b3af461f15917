//! The init of an ordinary container: one process, born in its cgroups and its pid namespace.
//!
//! libcontainer's own way is a helper that joins the cgroups, then makes the init, and is waited for. It serves every kind
//! of container; this serves nearly all of them in a fraction of the time. What the init does, from its namespaces to its
//! program, is libcontainer's in both.

use std::{
    fs::{self, File},
    os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd},
    path::PathBuf,
    rc::Rc,
};

use anyhow::{Context, Result, anyhow, ensure};
use libcgroups::common::CgroupConfig;
use libcontainer::{
    notify_socket::NotifyListener,
    process::{
        args::{ContainerArgs, ContainerType},
        channel::{self, InitReceiver, MainSender},
        init::container_init_process,
    },
    syscall::syscall::{SyscallType, create_syscall},
    tty,
    utils::validate_mount_options,
    validator::Validator,
};
use nix::sched::{CloneFlags, setns};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use wasmedge_shim_protocol::Create;

use super::{
    by_hand::check_apparmor,
    cgroup::{self, Birth, Kills},
    hooks,
    making::{Born, Making},
    sibling::{self, Sibling},
};
use crate::guest::{
    EXEC_FAILED,
    descriptors::{close_the_node_s, leave_the_log},
    exit_now, report,
};

/// Whether the container that `spec` describes can be made here: its cgroups are plain directories, and while it is made
/// nothing is to be done for it by other processes.
pub fn is_ordinary(spec: &Spec, request: &Create) -> bool {
    let Some(linux) = spec.linux() else { return false };
    let plain_cgroup =
        !request.options.systemd_cgroup && linux.cgroups_path().as_ref().is_some_and(|path| path.is_absolute());
    let other_clocks_or_users =
        |one: &LinuxNamespace| [LinuxNamespaceType::User, LinuxNamespaceType::Time].contains(&one.typ());
    let asks_agent = linux
        .seccomp()
        .as_ref()
        .is_some_and(|seccomp| seccomp.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty()));
    let terminal = spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or_default();
    let is_mapped = |mount: &oci_spec::runtime::Mount| mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
    plain_cgroup
        && !linux.namespaces().iter().flatten().any(other_clocks_or_users)
        && !hooks::during_creation(spec.hooks().as_ref())
        && !asks_agent
        && linux.net_devices().is_none()
        && linux.intel_rdt().is_none()
        && !spec.mounts().iter().flatten().any(is_mapped)
        && terminal == request.terminal
}

/// Makes the init of the container and its cgroups, and waits until it only waits to be started.
///
/// # Errors
/// One line, where the init has not told a better cause itself.
pub fn launch(making: &Making<'_>) -> Result<Born> {
    let mut spec = making.placed.spec.clone();
    // None of them is due before the start.
    spec.set_hooks(None);
    validate(&spec)?;
    let path =
        spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).context("the spec has no cgroup")?;
    let place = cgroup::Place::new(&path)?;
    let cgroups = place.make()?;
    place.limit(&spec, &making.request.key.id)?;
    let born = give_birth(spec, making, &Birth::into(&cgroups)?);
    if born.is_err() && Kills::in_new(&cgroups).any() {
        report::cause(report::INIT_KILLED);
    }
    let (pid, pidfd) = born?;
    Ok(Born { pid, pidfd, cgroups })
}

/// The init, and its descriptor.
fn give_birth(spec: Spec, making: &Making<'_>, birth: &Birth) -> Result<(i32, OwnedFd)> {
    let namespace = pid_namespace(&spec);
    let args = arguments(spec, making)?;
    let keep = descriptors(&args, making);
    let (mut to_us, mut from_init) = channel::main_channel()?;
    let (to_init, mut from_us) = channel::init_channel()?;
    let mut child = |born: Option<bool>| {
        let failed = become_init(&args, making, &keep, birth, born, &mut to_us, &mut from_us);
        // A worker that is gone has nobody left to tell.
        let _ = to_us.exec_failed(failed);
        exit_now(EXEC_FAILED);
    };
    let (pid, pidfd) = match namespace {
        // Others are in it, who may be allowed to trace.
        PidNamespace::Joined(path) => sibling::by_helper(birth, |answer| {
            leave_the_log().and_then(|()| close_the_node_s(&keep)).context("closing inherited descriptors")?;
            enter_pid_namespace(&path)?;
            sibling::plain(|| {
                // SAFETY: the helper's own; this process has nothing to answer.
                unsafe { libc::close(answer) };
                child(None);
            })
        })?,
        PidNamespace::New | PidNamespace::OfTheNode => {
            let flag = if namespace == PidNamespace::New { libc::CLONE_NEWPID } else { 0 };
            match sibling::make(flag, birth).context("cannot make the container's init")? {
                Sibling::Child(born) => child(Some(born)),
                Sibling::Made(pid, pidfd) => (pid, pidfd),
            }
        }
    };
    // The end of the init is seen by the end of its copy.
    to_us.close()?;
    to_init.close()?;
    from_init.wait_for_init_ready()?;
    Ok((pid, pidfd))
}

/// What libcontainer checks of a spec before it makes anything.
fn validate(spec: &Spec) -> Result<()> {
    ensure!(spec.version().starts_with("1."), "the spec has version {}, only 1.x is known", spec.version());
    Validator::validate_spec(spec)?;
    check_apparmor(spec.process().as_ref().and_then(|process| process.apparmor_profile().as_deref()))?;
    validate_mount_options(spec.mounts().as_deref().unwrap_or_default())?;
    Ok(())
}

/// Which pid namespace the init is in.
#[derive(Debug, PartialEq, Eq)]
enum PidNamespace {
    OfTheNode,
    New,
    /// Another's, by its path.
    Joined(PathBuf),
}

fn pid_namespace(spec: &Spec) -> PidNamespace {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let namespace = namespaces.into_iter().flatten().find(|one| one.typ() == LinuxNamespaceType::Pid);
    match namespace.map(LinuxNamespace::path) {
        None => PidNamespace::OfTheNode,
        Some(None) => PidNamespace::New,
        Some(Some(path)) => PidNamespace::Joined(path.clone()),
    }
}

/// The next child of this process will be in it.
fn enter_pid_namespace(path: &std::path::Path) -> Result<()> {
    let failed = || format!("cannot enter the pid namespace {}", path.display());
    let file = File::open(path).with_context(failed)?;
    setns(&file, CloneFlags::CLONE_NEWPID).with_context(failed)
}

/// What the init is made with, beside libcontainer's sockets: its streams, and what its container was prepared with.
fn descriptors(args: &ContainerArgs, making: &Making<'_>) -> Vec<RawFd> {
    let streams = [args.stdin, args.stdout, args.stderr, args.console_socket];
    streams.into_iter().flatten().chain(making.placed.descriptors.iter().copied()).collect()
}

fn arguments(spec: Spec, making: &Making<'_>) -> Result<ContainerArgs> {
    let Making { state, request, placed, stdio, .. } = making;
    let console = placed.console.as_ref();
    let directory = state.start_socket_directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let root = spec.root().as_ref().context("the spec has no root")?.path();
    let rootfs = fs::canonicalize(root).with_context(|| format!("cannot use the root {}", root.display()))?;
    let notify_listener = NotifyListener::new(&state.start_socket())?;
    // Processes in namespaces that the init joins must not reach the host through it.
    // SAFETY: takes integers.
    nix::errno::Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    let console_socket = console
        .map(|console| tty::setup_console_socket(&directory, console.path(), "console-socket"))
        .transpose()
        .map_err(|error| anyhow!("cannot prepare the terminal: {error}"))?;
    let [stdin, stdout, stderr] = *stdio;
    let stream = |stream: &OwnedFd| Some(stream.as_raw_fd()).filter(|_| console.is_none());
    Ok(ContainerArgs {
        container_type: ContainerType::InitContainer,
        syscall: SyscallType::default(),
        spec: Rc::new(spec),
        rootfs,
        // For the init, which alone uses it.
        console_socket: console_socket.map(IntoRawFd::into_raw_fd),
        notify_listener,
        preserve_fds: 0,
        container: None,
        user_ns_config: None,
        // Only its helper would read it.
        cgroup_config: CgroupConfig {
            cgroup_path: PathBuf::new(),
            systemd_cgroup: false,
            container_name: request.key.id.clone(),
        },
        detached: true,
        executor: Box::new(placed.executor.clone()),
        no_pivot: request.options.no_pivot_root,
        stdin: stream(stdin),
        stdout: stream(stdout),
        stderr: stream(stderr),
        as_sibling: true,
        pid_file: None,
    })
}

/// Runs in the new process, until the container's program ends; why it could not be run.
///
/// The order: the cgroups are joined by the node's descriptors, the score is written to the node's `/proc`; then nothing of
/// the node is needed any more and it is closed, before libcontainer enters a namespace. Limits come last, as they could
/// be too low for the steps before.
fn become_init(
    args: &ContainerArgs,
    making: &Making<'_>,
    keep: &[RawFd],
    birth: &Birth,
    born: Option<bool>,
    to_worker: &mut MainSender,
    from_worker: &mut InitReceiver,
) -> String {
    making.causes.send();
    let arrived = born.map_or(Ok(()), |born| birth.arrive(born));
    let begun = arrived
        .and_then(|()| set_oom_score(&args.spec))
        .and_then(|()| leave_the_log())
        .and_then(|()| close_the_node_s(keep))
        .map_err(anyhow::Error::from)
        .and_then(|()| limit(&args.spec));
    let ended = begun.and_then(|()| Ok(container_init_process(args, to_worker, from_worker)?));
    ended.map_or_else(|error| error.to_string(), |()| "the program was not run".to_owned())
}

fn set_oom_score(spec: &Spec) -> std::io::Result<()> {
    let Some(score) = spec.process().as_ref().and_then(|process| process.oom_score_adj()) else { return Ok(()) };
    fs::write("/proc/self/oom_score_adj", score.to_string())
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot write oom_score_adj: {error}")))
}

fn limit(spec: &Spec) -> Result<()> {
    let syscall = create_syscall();
    for limit in spec.process().iter().filter_map(|process| process.rlimits().as_ref()).flatten() {
        syscall.set_rlimit(limit).map_err(|error| anyhow!("cannot set {:?}: {error}", limit.typ()))?;
    }
    Ok(())
}
