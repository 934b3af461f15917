//! From a bundle to a container that only waits to be started: one way through the stages, each of which takes what the one
//! before has made.

use std::{fs::File, io, os::fd::OwnedFd};

use anyhow::{Context, Result};
use wasmedge_shim_protocol::{Create, Created, Failure, FailureKind, Location, Pidfd, Reply};

use super::{
    after, delete, init,
    mounts::rootfs,
    namespaces,
    native_code::NativeCode,
    place,
    plan::Plan,
    process::Init,
    state::{Record, State},
    workload::Workload,
};
use crate::{
    guest::Finished,
    noted::{self, Stage},
    wasm::gauges,
};

/// Creates the container that `request` describes. `stdio` are its standard streams. The init's pidfd comes with the
/// answer, and then the master of its terminal, if it has one.
///
/// # Errors
/// After one, nothing is left of the container.
pub fn create(location: &Location, request: &Create, stdio: [OwnedFd; 3]) -> Finished {
    let state = State::new(location, &request.key);
    state.make().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(FailureKind::AlreadyExists, format!("container {} exists", request.key))
        }
        _ => Failure::internal(format!("cannot make the state directory {}: {error}", state.bundle().display())),
    })?;
    let node = File::open("/proc/self/ns/mnt").map_err(|error| Failure::internal(format!("/proc: {error}")))?;
    build(location, &state, request, &stdio).map_err(|error| {
        let leftovers = namespaces::go_back(&node).and_then(|()| delete::remove(&state, &request.key)).err();
        let also = leftovers.map(|cause| format!(" (and cleaning up failed: {cause:#})")).unwrap_or_default();
        Failure::internal(format!("{error:#}{also}"))
    })
}

/// The stages. What is recorded is what a deletion needs, by whomever it is done: the worker and the bundle before anything
/// is made, the init and its cgroups as soon as they are known.
fn build(location: &Location, state: &State, request: &Create, stdio: &[OwnedFd; 3]) -> Result<(Reply, Vec<OwnedFd>)> {
    let mut record = Record {
        bundle: request.bundle.clone(),
        systemd_cgroup: request.options.systemd_cgroup,
        worker: Init::of(std::process::id().cast_signed()),
        ..Record::default()
    };
    let mut plan = Plan::read(request)?;
    // They are due after a creation that fails as well.
    record.late_hooks = plan.late_hooks;
    record.pod.clone_from(&plan.pod);
    record.program = plan.program();
    state.save(&record)?;
    noted::stage(Stage::Planned);

    rootfs::mount_all(&request.rootfs, &request.bundle)?;
    let workload = Workload::find(location, state, request, &mut plan)?;
    (record.module, record.memory) = (workload.is_module(), plan.limits.memory);
    (record.aot, record.settings) = (plan.aot.clone(), plan.settings.clone());
    if let Workload::Module { layers, code } = &workload {
        record.layers.clone_from(layers);
        record.level = code.as_ref().map(NativeCode::level);
        record.gauges = gauges::address();
    }
    noted::program(workload.is_module());
    noted::stage(Stage::Found);

    let placed = place::place(state, request, plan, &workload, stdio)?;
    noted::stage(Stage::Placed);
    let born = init::make(state, request, &placed, stdio)?;
    let ended = || format!("the container's init, process {}, has ended", born.pid);
    record.init = Some(Init::behind(&Pidfd::from(born.pidfd.try_clone()?), born.pid).with_context(ended)?);
    record.cgroups.clone_from(&born.cgroups);
    state.save(&record)?;

    noted::stage(Stage::Born);

    let master = after::complete(placed, &born)?;
    noted::stage(Stage::Completed);
    let created = Created { pid: born.pid.unsigned_abs(), cgroups: born.cgroups, late_hooks: record.late_hooks };
    Ok((Reply::Created(created), std::iter::once(born.pidfd).chain(master).collect()))
}
