//! The init of a container that is not ordinary: libcontainer makes it, and its cgroups.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::Path,
};

use anyhow::{Context, Result};
use libcontainer::{container::builder::ContainerBuilder, syscall::syscall::SyscallType};
use wasmedge_shim_protocol::Pidfd;

use super::{
    cgroup::{self, Birth, Kills},
    console::ConsoleSocket,
    hooks,
    making::{Born, Making},
    sibling,
};
use crate::{
    guest::{
        descriptors::{close_the_node_s, leave_the_log},
        report,
    },
    hierarchies::own_membership,
};

/// Has libcontainer make the init and its cgroups, from a helper: libcontainer changes its caller, and its processes keep the
/// caller's descriptors until the init meets the guest.
pub fn launch(making: &Making<'_>) -> Result<Born> {
    let Making { state, request, placed, .. } = making;
    let spec_for_hooks = match hooks::during_creation(placed.spec.hooks().as_ref()) {
        true => Some(hooks::Replaced::new(&request.bundle, &state.config(), &state.bundle().join("original.json"))?),
        false => None,
    };
    let bundle = if spec_for_hooks.is_some() { request.bundle.as_path() } else { state.bundle() };
    let outside = own_membership()?;
    let streams = making.stdio.iter().map(AsRawFd::as_raw_fd);
    let keep: Vec<RawFd> = streams.chain(placed.descriptors.iter().copied()).collect();
    let kills = Kills::of_the_node()?;
    let born = sibling::by_helper(&Birth::into(&[])?, |_| {
        leave_the_log().and_then(|()| close_the_node_s(&keep)).context("closing inherited descriptors")?;
        making.causes.send();
        let pid = run(bundle, making)?;
        let pidfd = Pidfd::open(pid).with_context(|| format!("the container's init, process {pid}, has ended"))?;
        Ok((pid, OwnedFd::from(pidfd)))
    });
    // libcontainer has removed the cgroup, and with it the count.
    if born.is_err() && kills.any() {
        making.causes.collect();
        report::cause(report::INIT_KILLED);
    }
    let (pid, pidfd) = born?;
    drop(spec_for_hooks);
    if let Some(path) = cgroup::mount::own_path(&placed.spec) {
        cgroup::join_the_rest(pid, &path)?;
    }
    let cgroups = cgroup::directories_of(pid, &outside)?;
    cgroup::wait_for_helpers(pid, &cgroups);
    Ok(Born { pid, pidfd, cgroups })
}

fn run(bundle: &Path, making: &Making<'_>) -> Result<i32> {
    let Making { state, request, placed, stdio, .. } = making;
    let libcontainer_root = state.libcontainer_root();
    fs::create_dir(&libcontainer_root).with_context(|| format!("cannot make {}", libcontainer_root.display()))?;
    let builder = ContainerBuilder::new(request.key.id.clone(), SyscallType::default())
        .with_executor(placed.executor.clone())
        .with_root_path(&libcontainer_root)?
        .with_console_socket(placed.console.as_ref().map(ConsoleSocket::path));
    let [stdin, stdout, stderr] = stdio;
    let builder = match placed.console {
        Some(_) => builder,
        None => {
            builder.with_stdin(stdin.try_clone()?).with_stdout(stdout.try_clone()?).with_stderr(stderr.try_clone()?)
        }
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
