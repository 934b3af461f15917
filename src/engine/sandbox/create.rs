//! From a bundle to a container that only waits to be started.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use libcontainer::{container::builder::ContainerBuilder, syscall::syscall::SyscallType};
use oci_spec::runtime::{Process, Spec};
use wasmedge_shim_protocol::{Create, Created, Failure, FailureKind, Location, Reply};

use super::{
    artifact, by_hand, cgroup, check,
    console::ConsoleSocket,
    delete, devices, hooks,
    launch::{self, Making},
    lookup::{self, Program},
    mounts::{destinations, hidden, propagation, rootfs, staging},
    namespaces, native_code, plugins, settings,
    state::{Init, Record, State},
    translate, userns,
};
use crate::{
    aot::Layers,
    guest::{Finished, GuestExecutor, Reporter, Sandbox, take_seccomp_profile},
};

/// Creates the container that `request` describes. `stdio` are its standard streams.
///
/// # Errors
/// After one, nothing is left of the container.
pub fn create(location: &Location, request: &Create, stdio: [OwnedFd; 3], reporter: Reporter) -> Finished {
    let state = State::new(location, &request.key);
    state.make().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(FailureKind::AlreadyExists, format!("container {} exists", request.key))
        }
        _ => Failure::internal(format!("cannot make the state directory {}: {error}", state.bundle().display())),
    })?;
    let node = File::open("/proc/self/ns/mnt").map_err(|error| Failure::internal(format!("/proc: {error}")))?;
    build(location, &state, request, stdio, reporter).map_err(|error| {
        let leftovers = namespaces::go_back(&node).and_then(|()| delete::remove(&state, &request.key)).err();
        let also = leftovers.map(|cause| format!(" (and cleaning up failed: {cause:#})")).unwrap_or_default();
        Failure::internal(format!("{error:#}{also}"))
    })
}

fn build(
    location: &Location,
    state: &State,
    request: &Create,
    stdio: [OwnedFd; 3],
    reporter: Reporter,
) -> Result<(Reply, Vec<OwnedFd>)> {
    let mut spec = load_spec(&request.bundle)?;
    check::clean_cgroup_path(&mut spec, request.options.systemd_cgroup);
    check::spec(&spec, request.options.systemd_cgroup)?;
    let late_hooks = spec.hooks().as_ref().is_some_and(hooks::late);
    let mut record = Record {
        bundle: request.bundle.clone(),
        systemd_cgroup: request.options.systemd_cgroup,
        worker: Init::of(std::process::id().cast_signed()),
        // They are due after a creation that fails as well.
        late_hooks,
        ..Record::default()
    };
    state.save(&record)?;
    rootfs::mount_all(&request.rootfs, &request.bundle)?;
    translate::absolute_root(&mut spec, &request.bundle);
    translate::spell_out(&mut spec);
    let config = request.bundle.join("config.json");
    let root = spec.root().as_ref().with_context(|| format!("{}: the spec has no root", config.display()))?;
    let root = root.path().clone();
    destinations::check_root(&root)?;
    make_working_directory(&spec, &root)?;
    let owner = translate::user_on_the_node(&spec);
    give_to_user(owner, &stdio)?;
    let passwd = lookup::open(&spec, &root, Path::new("/etc/passwd")).and_then(io::read_to_string);
    if let Some(process) = spec.process_mut() {
        translate::set_home(process, &passwd.unwrap_or_default());
    }
    let proc = File::open("/proc").context("cannot open /proc")?;
    record.aot = native_code::wanted(&request.options.aot, spec.annotations().as_ref())?;
    record.settings = settings::wanted(&request.options, spec.annotations().as_ref())?;
    let (mut module, mut native, mut code) = (None, None, None);
    let found = find_module(location, state, request, &mut spec, &root)?;
    let tree = destinations::settle(&mut spec, &root)?;
    if let Some(file) = found {
        record.layers = Layers::for_file(&file, &request.rootfs, &root);
        let features = record.settings.features();
        code = native_code::obtain(location, &record.aot, features, file, record.layers.as_ref())?;
        plugins::load(&record.settings.plugins)?;
        module = Some(translate::for_module(&mut spec));
        hidden::hide(&mut spec, &request.bundle)?;
        native = code.as_ref().map_or(Ok(None), |code| native_code::show(&mut spec, code, &record.aot))?;
    }
    let read_only = destinations::ReadOnly::take(&mut spec);
    let devices = devices::take(&mut spec, &tree)?;
    devices.make_in_root(&root)?;
    cgroup::mount::replace(&mut spec).context("cannot prepare the cgroup mount")?;
    let limits = translate::limits(&spec);
    (record.module, record.memory) = (module.is_some(), limits.memory);
    let sandbox = Sandbox {
        limits,
        seccomp: take_seccomp_profile(&mut spec, module.is_some()),
        apparmor_profile: module.as_ref().and_then(|by_hand| by_hand.apparmor_profile.clone()),
        proc: proc.as_raw_fd(),
        native: native.clone(),
        settings: record.settings.clone(),
    };
    let start_hooks = hooks::take_start_container(&mut spec, &request.key, &request.bundle);
    let left = cgroup::resources::take(&mut spec, request.options.systemd_cgroup);
    let user_namespace = userns::make(&mut spec)?;
    staging::stage(&mut spec, &request.bundle, user_namespace.as_ref())?;
    save_spec(&spec, &state.config())?;
    if let Some(by_hand) = &module {
        by_hand::before(by_hand)?;
    }
    let executor = GuestExecutor::new(sandbox, module.is_some(), reporter, start_hooks);
    let console = request.terminal.then(|| ConsoleSocket::new(state)).transpose()?;
    let making = Making { state, request, stdio, executor, console: console.as_ref() };
    let (pid, cgroups) = match launch::is_ordinary(&spec, request) {
        true => launch::launch(spec.clone(), making)?,
        false => by_libcontainer(&spec, making)?,
    };
    record.init = Some(Init::of(pid).ok_or_else(|| anyhow!("the container's init, process {pid}, has ended"))?);
    record.cgroups = cgroups;
    state.save(&record)?;
    cgroup::resources::apply(&left, &record.cgroups)?;
    if let Some(by_hand) = &module {
        by_hand::after(by_hand, pid)?;
    }
    let created = Reply::Created(Created { pid: pid.unsigned_abs(), cgroups: record.cgroups, late_hooks });
    let master = console.map(|console| console.master(&spec, owner)).transpose()?;
    propagation::set(&spec, pid)?;
    devices.finish(pid)?;
    if native.is_some() {
        native_code::hide(pid)?;
    }
    read_only.finish(pid)?;
    drop(code);
    Ok((created, master.into_iter().collect()))
}

/// The module to run, if it is one. What is not in the root filesystem may be in the image.
fn find_module(
    location: &Location,
    state: &State,
    request: &Create,
    spec: &mut Spec,
    root: &Path,
) -> Result<Option<File>> {
    let find = |spec: &Spec| -> Result<Program> {
        Ok(lookup::program(process_of(spec)?, &|path| lookup::open(spec, root, path)))
    };
    let mut program = find(spec)?;
    if let Program::Missing(missing) = &program
        && artifact::provide(location, request, spec, root, state.bundle(), missing)?
    {
        program = find(spec)?;
    }
    Ok(if let Program::Module(file) = program { Some(file) } else { None })
}

/// Has libcontainer make the init and its cgroups.
fn by_libcontainer(spec: &Spec, making: Making<'_>) -> Result<(i32, Vec<PathBuf>)> {
    let Making { state, request, .. } = making;
    let spec_for_hooks = match hooks::during_creation(spec.hooks().as_ref()) {
        true => Some(hooks::Replaced::new(&request.bundle, &state.config(), &state.bundle().join("original.json"))?),
        false => None,
    };
    let bundle = if spec_for_hooks.is_some() { request.bundle.as_path() } else { state.bundle() };
    let outside = cgroup::own_membership()?;
    let pid = run_libcontainer(bundle, making)?;
    drop(spec_for_hooks);
    if let Some(path) = cgroup::mount::own_path(spec) {
        cgroup::join_the_rest(pid, &path)?;
    }
    let cgroups = cgroup::directories_of(pid, &outside)?;
    cgroup::wait_for_helpers(pid, &cgroups);
    Ok((pid, cgroups))
}

fn run_libcontainer(bundle: &Path, making: Making<'_>) -> Result<i32> {
    let Making { state, request, stdio, executor, console } = making;
    let libcontainer_root = state.libcontainer_root();
    fs::create_dir(&libcontainer_root).with_context(|| format!("cannot make {}", libcontainer_root.display()))?;
    let builder = ContainerBuilder::new(request.key.id.clone(), SyscallType::default())
        .with_executor(executor)
        .with_root_path(&libcontainer_root)?
        .with_console_socket(console.map(ConsoleSocket::path));
    let [stdin, stdout, stderr] = stdio;
    let builder = match console {
        Some(_) => builder,
        None => builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr),
    };
    let container = builder
        .validate_id()?
        .as_init(bundle)
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

fn process_of(spec: &Spec) -> Result<&Process> {
    spec.process().as_ref().context("the spec has no process")
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
/// What is no pipe (`/dev/null`) stays as it is.
fn give_to_user(owner: u32, stdio: &[OwnedFd; 3]) -> Result<()> {
    let owner = nix::unistd::Uid::from_raw(owner);
    for stream in stdio {
        let kind = nix::sys::stat::SFlag::from_bits_truncate(nix::sys::stat::fstat(stream)?.st_mode);
        if kind.contains(nix::sys::stat::SFlag::S_IFIFO) {
            nix::unistd::fchown(stream, Some(owner), None)
                .context("cannot give a stdio pipe to the container's user")?;
        }
    }
    Ok(())
}
