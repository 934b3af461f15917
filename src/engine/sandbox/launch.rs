//! The init of an ordinary container: one process, born in its cgroups and its pid namespace.
//!
//! libcontainer's own way is a helper that joins the cgroups, then makes the init, and is waited for. It serves every kind
//! of container; this serves nearly all of them in a fraction of the time. What the init does, from its namespaces to its
//! program, is libcontainer's in both.

use std::{
    fs::{self, File},
    os::fd::{AsRawFd, OwnedFd},
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
    cgroup::{self, Birth},
    console::ConsoleSocket,
    hooks,
    sibling::{self, Sibling},
    state::State,
};
use crate::guest::{EXEC_FAILED, GuestExecutor, exit_now};

/// What an init is made of, beside its spec.
pub struct Making<'a> {
    /// The container's state on disk.
    pub state: &'a State,
    /// What the shim asked for.
    pub request: &'a Create,
    /// The standard streams, unless there is a terminal.
    pub stdio: [OwnedFd; 3],
    /// Runs the program.
    pub executor: GuestExecutor,
    /// Where the terminal's master goes.
    pub console: Option<&'a ConsoleSocket>,
}

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

/// Makes the init of the container and its cgroups, and waits until it only waits to be started; its process id, and the
/// cgroup directories. `spec` is that of an ordinary container.
///
/// # Errors
/// One line, where the init has not told the host a better cause itself.
pub fn launch(mut spec: Spec, making: Making<'_>) -> Result<(i32, Vec<PathBuf>)> {
    // None of them is due before the start.
    spec.set_hooks(None);
    validate(&spec)?;
    let path =
        spec.linux().as_ref().and_then(|linux| linux.cgroups_path().clone()).context("the spec has no cgroup")?;
    let place = cgroup::Place::new(&path)?;
    let cgroups = place.make()?;
    place.limit(&spec, &making.request.key.id)?;
    let birth = Birth::into(&cgroups)?;
    let namespaces = pid_namespace(&spec)?;
    let args = arguments(spec, &making)?;
    let (mut to_us, mut from_init) = channel::main_channel()?;
    let (to_init, mut from_us) = channel::init_channel()?;
    match sibling::make(namespaces, &birth).context("cannot make the container's init")? {
        Sibling::Child(born) => {
            let failed = become_init(&args, &birth, born, &mut to_us, &mut from_us);
            // A worker that is gone has nobody left to tell.
            let _ = to_us.exec_failed(failed);
            exit_now(EXEC_FAILED);
        }
        Sibling::Made(pid, _) => {
            // The end of the init is seen by the end of its copy.
            to_us.close()?;
            to_init.close()?;
            from_init.wait_for_init_ready()?;
            Ok((pid, cgroups))
        }
    }
}

/// What libcontainer checks of a spec before it makes anything.
fn validate(spec: &Spec) -> Result<()> {
    ensure!(spec.version().starts_with("1."), "the spec has version {}, only 1.x is known", spec.version());
    Validator::validate_spec(spec)?;
    check_apparmor(spec.process().as_ref().and_then(|process| process.apparmor_profile().as_deref()))?;
    validate_mount_options(spec.mounts().as_deref().unwrap_or_default())?;
    Ok(())
}

/// The flag for a pid namespace of the container's own. Another's is entered, by the next child.
fn pid_namespace(spec: &Spec) -> Result<libc::c_int> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let Some(namespace) = namespaces.into_iter().flatten().find(|one| one.typ() == LinuxNamespaceType::Pid) else {
        return Ok(0);
    };
    let Some(path) = namespace.path() else { return Ok(libc::CLONE_NEWPID) };
    let failed = || format!("cannot enter the pid namespace {}", path.display());
    let file = File::open(path).with_context(failed)?;
    setns(&file, CloneFlags::CLONE_NEWPID).with_context(failed)?;
    Ok(0)
}

fn arguments(spec: Spec, making: &Making<'_>) -> Result<ContainerArgs> {
    let Making { state, request, stdio, executor, console } = making;
    let directory = state.start_socket_directory();
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let root = spec.root().as_ref().context("the spec has no root")?.path();
    let rootfs = fs::canonicalize(root).with_context(|| format!("cannot use the root {}", root.display()))?;
    let notify_listener = NotifyListener::new(&state.start_socket())?;
    if let Some(score) = spec.process().as_ref().and_then(|process| process.oom_score_adj()) {
        fs::write("/proc/self/oom_score_adj", score.to_string()).context("cannot write oom_score_adj")?;
    }
    // Processes in namespaces that the init joins must not reach the host through it.
    // SAFETY: takes integers.
    nix::errno::Errno::result(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    let console_socket = console
        .map(|console| tty::setup_console_socket(&directory, console.path(), "console-socket"))
        .transpose()
        .map_err(|error| anyhow!("cannot prepare the terminal: {error}"))?;
    let [stdin, stdout, stderr] = stdio;
    let stream = |stream: &OwnedFd| Some(stream.as_raw_fd()).filter(|_| console.is_none());
    Ok(ContainerArgs {
        container_type: ContainerType::InitContainer,
        syscall: SyscallType::default(),
        spec: Rc::new(spec),
        rootfs,
        // For the init, which alone uses it.
        console_socket: console_socket.map(std::os::fd::IntoRawFd::into_raw_fd),
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
        executor: Box::new(executor.clone()),
        no_pivot: request.options.no_pivot_root,
        stdin: stream(stdin),
        stdout: stream(stdout),
        stderr: stream(stderr),
        as_sibling: true,
        pid_file: None,
    })
}

/// Runs in the new process, until the container's program ends; why it could not be run.
fn become_init(
    args: &ContainerArgs,
    birth: &Birth,
    born: bool,
    to_worker: &mut MainSender,
    from_worker: &mut InitReceiver,
) -> String {
    if let Err(error) = birth.arrive(born) {
        return error.to_string();
    }
    let syscall = create_syscall();
    for limit in args.spec.process().iter().filter_map(|process| process.rlimits().as_ref()).flatten() {
        if let Err(error) = syscall.set_rlimit(limit) {
            return format!("cannot set {:?}: {error}", limit.typ());
        }
    }
    match container_init_process(args, to_worker, from_worker) {
        Ok(()) => "the program was not run".to_owned(),
        Err(error) => error.to_string(),
    }
}
