//! From a bundle to a container that only waits to be started.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use anyhow::{Context, Result, anyhow};
use libcontainer::{container::builder::ContainerBuilder, syscall::syscall::SyscallType};
use oci_spec::runtime::Spec;
use wasmedge_shim_protocol::{Create, Created, Failure, FailureKind, Location, Reply};

use super::{
    by_hand, cgroup, cgroup_mount, delete, lookup, rootfs,
    state::{Init, Record, State},
    translate,
};
use crate::guest::{self, Entrypoint, GuestExecutor, Reporter, Sandbox};

/// Creates the container that `request` describes. `stdio` are its standard streams.
///
/// # Errors
/// After one, nothing is left of the container.
pub fn create(
    location: &Location,
    request: &Create,
    stdio: [OwnedFd; 3],
    reporter: Reporter,
) -> Result<Reply, Failure> {
    let state = State::new(location, &request.key);
    state.make().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(FailureKind::AlreadyExists, format!("container {} exists", request.key))
        }
        _ => Failure::internal(format!("cannot make the state directory {}: {error}", state.bundle().display())),
    })?;
    build(&state, request, stdio, reporter).map(Reply::Created).map_err(|error| {
        let leftovers = delete::remove(&state, &request.key).err();
        let also = leftovers.map(|cause| format!(" (and cleaning up failed: {cause:#})")).unwrap_or_default();
        Failure::internal(format!("{error:#}{also}"))
    })
}

fn build(state: &State, request: &Create, stdio: [OwnedFd; 3], reporter: Reporter) -> Result<Created> {
    let mut record = Record {
        bundle: request.bundle.clone(),
        systemd_cgroup: request.options.systemd_cgroup,
        worker: Init::of(std::process::id().cast_signed()),
        ..Record::default()
    };
    state.save(&record)?;
    let mut spec = load_spec(&request.bundle)?;
    rootfs::mount_all(&request.rootfs, &request.bundle)?;
    translate::absolute_root(&mut spec, &request.bundle);
    translate::spell_out(&mut spec);
    let config = request.bundle.join("config.json");
    let root = spec.root().as_ref().with_context(|| format!("{}: the spec has no root", config.display()))?;
    let root = root.path().clone();
    make_working_directory(&spec, &root)?;
    give_to_user(&spec, &stdio)?;
    let passwd = lookup::open(&spec, &root, Path::new("/etc/passwd")).and_then(io::read_to_string);
    translate::set_home(&mut spec, &passwd.unwrap_or_default());

    let proc = File::open("/proc").context("cannot open /proc")?;
    let module = is_module(&spec, &root)?.then(|| translate::for_module(&mut spec));
    cgroup_mount::replace(&mut spec).context("cannot prepare the cgroup mount")?;
    let sandbox = Sandbox {
        reporter,
        for_module: module.is_some(),
        limits: translate::limits(&spec),
        apparmor_profile: module.as_ref().and_then(|by_hand| by_hand.apparmor_profile.clone()),
        proc: proc.as_raw_fd(),
    };
    save_spec(&spec, &state.config())?;

    let outside = cgroup::own_membership()?;
    if let Some(by_hand) = &module {
        by_hand::before(by_hand)?;
    }
    let pid = run_libcontainer(state, request, stdio, sandbox)?;
    record.init = Some(Init::of(pid).ok_or_else(|| anyhow!("the container's init, process {pid}, has ended"))?);
    record.cgroups = cgroup::directories_of(pid, &outside)?;
    cgroup::wait_for_helpers(pid, &record.cgroups);
    state.save(&record)?;
    if let Some(by_hand) = &module {
        by_hand::after(by_hand, pid)?;
    }
    Ok(Created { pid: pid.unsigned_abs(), cgroups: record.cgroups })
}

fn run_libcontainer(state: &State, request: &Create, stdio: [OwnedFd; 3], sandbox: Sandbox) -> Result<i32> {
    let libcontainer_root = state.libcontainer_root();
    fs::create_dir(&libcontainer_root).with_context(|| format!("cannot make {}", libcontainer_root.display()))?;
    let [stdin, stdout, stderr] = stdio;
    let container = ContainerBuilder::new(request.key.id.clone(), SyscallType::default())
        .with_executor(GuestExecutor::new(sandbox))
        .with_root_path(&libcontainer_root)?
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr)
        .validate_id()?
        .as_init(state.bundle())
        .with_systemd(request.options.systemd_cgroup)
        .with_no_pivot(request.options.no_pivot_root)
        .with_detach(true)
        .as_sibling(true)
        .build()?;
    Ok(container.pid().context("libcontainer made a container without a process")?.as_raw())
}

fn load_spec(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not an OCI runtime spec", path.display()))
}

fn save_spec(spec: &Spec, path: &Path) -> Result<()> {
    fs::write(path, serde_json::to_vec(spec)?).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether the entrypoint is a module. A program that cannot be found is left to the lookup inside, which sees links
/// across mounts too.
fn is_module(spec: &Spec, root: &Path) -> Result<bool> {
    let process = spec.process().as_ref().context("the spec has no process")?;
    let found = guest::resolve(process, &|path| lookup::open(spec, root, path));
    Ok(matches!(found, Ok(Entrypoint::Wasm { .. })))
}

/// runc makes a working directory that does not exist.
fn make_working_directory(spec: &Spec, root: &Path) -> Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let cwd = process.cwd();
    match lookup::open(spec, root, cwd) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        _ => return Ok(()),
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    pathrs::Root::open(root)
        .and_then(|root| root.mkdir_all(cwd, &mode))
        .map(drop)
        .with_context(|| format!("cannot make the working directory {}", cwd.display()))
}

/// The container's user owns its standard streams, so that it may open them again by `/dev/stdout`, as under runc.
/// What is no pipe (`/dev/null`, a terminal) stays as it is.
fn give_to_user(spec: &Spec, stdio: &[OwnedFd; 3]) -> Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let uid = nix::unistd::Uid::from_raw(process.user().uid());
    for stream in stdio {
        let kind = nix::sys::stat::SFlag::from_bits_truncate(nix::sys::stat::fstat(stream)?.st_mode);
        if kind.contains(nix::sys::stat::SFlag::S_IFIFO) {
            nix::unistd::fchown(stream, Some(uid), None).context("cannot give a stdio pipe to the container's user")?;
        }
    }
    Ok(())
}
