//! Processes that are killed or stopped.

use std::{fs, thread::sleep, time::Duration};

use e2e::{command, engine, node, process::Process, until, within};

use crate::stage;

/// How long to look for a victim that is not there yet.
const PATIENCE: Duration = Duration::from_millis(300);

/// The engine host. A killed one's workers have lost their parent as well, and are older than the next host.
pub fn host() -> Option<Process> {
    let all = Process::named("wasmedge-engine");
    let is_child = |one: &Process| all.iter().any(|other| other.pid == one.parent);
    all.iter().filter(|one| !is_child(one)).max_by_key(|one| one.start).cloned()
}

/// A lifecycle's shims, or the one that lives on.
pub fn shim(ids: &[String], long_lived: bool) -> Option<Process> {
    let one = [format!("{}-0", stage::LONG_LIVED)];
    let ids = if long_lived { &one } else { ids };
    shims(ids).into_iter().next()
}

/// The shims that were started for one of these containers.
pub fn shims(ids: &[String]) -> Vec<Process> {
    let serves = |process: &Process| ids.iter().any(|id| process.command.contains(&format!("-id {id}")));
    engine::shims().into_iter().filter(serves).collect()
}

pub(super) fn kill_shim(ids: &[String]) -> bool {
    let found = within(PATIENCE, || {
        let shims = shims(ids);
        (!shims.is_empty()).then_some(shims)
    });
    found.is_some_and(|shims| shims.iter().map(kill).filter(|killed| *killed).count() > 0)
}

pub(super) fn kill_host() -> bool {
    host().is_some_and(|host| kill(&host))
}

/// A child of the host that has not become a container.
pub(super) fn kill_worker() -> bool {
    within(PATIENCE, worker).is_some_and(|worker| kill(&worker))
}

/// A worker of the host's, if one is there now. While a host is started, what a shim has executed has a child too: the host.
pub fn worker() -> Option<Process> {
    let host = host().filter(|host| host.parent == 1)?;
    Process::named("wasmedge-engine").into_iter().find(|process| process.parent == host.pid)
}

pub(super) fn kill_compiler() -> bool {
    let compiler = within(Duration::from_secs(2), || Process::named("wasmedge-aot").pop());
    compiler.is_some_and(|compiler| kill(&compiler))
}

/// The first process of one of these containers, by its cgroup.
pub(super) fn kill_init(ids: &[String]) -> bool {
    let in_cgroup = |id: &String| {
        let pids = fs::read_to_string(format!("/sys/fs/cgroup/pids/default/{id}/cgroup.procs")).unwrap_or_default();
        pids.lines().next()?.parse().ok().and_then(Process::of)
    };
    within(PATIENCE, || ids.iter().find_map(in_cgroup)).is_some_and(|init| kill(&init))
}

pub(super) fn stop_host(time: Duration) -> bool {
    host().is_some_and(|host| stop(&host, time))
}

pub(super) fn stop_shim(ids: &[String], long_lived: bool, time: Duration) -> bool {
    within(PATIENCE, || shim(ids, long_lived)).is_some_and(|shim| stop(&shim, time))
}

pub(super) fn kill_containerd(time: Duration) -> bool {
    node::service("kill", "containerd");
    sleep(time);
    node::service("start", "containerd");
    until("containerd", || (command("ctr").arg("version").finish().code == 0).then_some(()));
    true
}

fn stop(process: &Process, time: Duration) -> bool {
    let stopped = process.stop();
    sleep(time);
    drop(stopped);
    process.lives()
}

fn kill(process: &Process) -> bool {
    process.kill();
    // A frozen one dies when it is thawed.
    within(Duration::from_secs(1), || (!process.lives()).then_some(()));
    true
}
