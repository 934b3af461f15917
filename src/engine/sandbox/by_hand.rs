//! What libcontainer does with the help of the container's `/proc`, for containers that have none.

use anyhow::{Context, Result, ensure};
use nix::{
    sched::{CloneFlags, setns},
    unistd::{Gid, setgroups},
};

use wasmedge_shim_protocol::Pidfd;

use super::translate::ByHand;

/// Done in the worker before the container's processes are forked from it, which inherit it.
pub fn before(by_hand: &ByHand) -> Result<()> {
    check_apparmor(by_hand.apparmor_profile.as_deref())?;
    let groups: Vec<Gid> = by_hand.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).context("cannot set the supplementary groups")
}

/// Whether a profile can be had on this node.
pub fn check_apparmor(profile: Option<&str>) -> Result<()> {
    let Some(profile) = profile else { return Ok(()) };
    let enabled = libcontainer::apparmor::is_enabled().unwrap_or(false);
    ensure!(enabled, "AppArmor profile \"{profile}\" is asked for, but AppArmor is not enabled on this node");
    Ok(())
}

/// Done in the worker once the container's init, the process behind `pidfd`, has its namespaces: a kernel parameter is that
/// of the namespaces of whoever opens its file.
pub fn after(by_hand: &ByHand, pidfd: &Pidfd) -> Result<()> {
    if by_hand.sysctl.is_empty() {
        return Ok(());
    }
    let kinds = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    setns(pidfd, kinds).context("cannot enter the container's namespaces")?;
    for (name, value) in &by_hand.sysctl {
        ensure!(!name.contains(".."), "sysctl {name} is not a kernel parameter");
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        std::fs::write(&path, value).with_context(|| format!("cannot set sysctl {name} to {value}"))?;
    }
    Ok(())
}
