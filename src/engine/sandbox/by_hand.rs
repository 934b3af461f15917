//! What libcontainer does with the help of the container's `/proc`, for containers that have none.

use anyhow::{Context, Result, ensure};
use nix::{
    sched::{CloneFlags, setns},
    unistd::{Gid, Uid, setgroups, setresgid, setresuid},
};

use wasmedge_shim_protocol::Pidfd;

use super::{child, translate::ByHand};

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
/// of the namespaces of whoever opens its file. `check::spec` has seen that each belongs to one of the container's own.
///
/// A child of the worker does it, as there is no way back out of a user namespace.
pub fn after(by_hand: &ByHand, pidfd: &Pidfd) -> Result<()> {
    if by_hand.sysctl.is_empty() {
        return Ok(());
    }
    child::run(|| set_parameters(by_hand, pidfd))
}

/// The user namespace comes last: with it the right to enter the others is lost where they are the node's.
fn set_parameters(by_hand: &ByHand, pidfd: &Pidfd) -> Result<()> {
    let kinds = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    setns(pidfd, kinds).context("cannot enter the container's namespaces")?;
    match setns(pidfd, CloneFlags::CLONE_NEWUSER) {
        // The one that this process is in already.
        Err(nix::errno::Errno::EINVAL) => {}
        entered => entered.context("cannot enter the container's user namespace")?,
    }
    // Parameters belong to the root of the namespace, where there is one.
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid)
        .and_then(|()| setresuid(uid, uid, uid))
        .context("the container's user namespace has no root")?;
    for (name, value) in &by_hand.sysctl {
        let path = path_of(name).with_context(|| format!("sysctl {name} is not a kernel parameter"))?;
        std::fs::write(&path, value).with_context(|| format!("cannot set sysctl {name} to {value}"))?;
    }
    Ok(())
}

/// The file of a kernel parameter (sysctl.d(5)): whichever of `.` and `/` is first in its name separates, the other is
/// part of a name.
fn path_of(name: &str) -> Option<String> {
    let slashes = name.chars().find(|char| ['.', '/'].contains(char)) == Some('/');
    let swapped = name.chars().map(|char| match char {
        '.' => '/',
        '/' => '.',
        other => other,
    });
    let path: String = if slashes { name.to_owned() } else { swapped.collect() };
    let plain = path.split('/').all(|part| !["", ".", ".."].contains(&part));
    plain.then(|| format!("/proc/sys/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_of_a_parameter_s_name_counts() {
        let path = |name| path_of(name).unwrap();
        assert_eq!(path("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eno2.100/rp_filter"), "/proc/sys/net/ipv4/conf/eno2.100/rp_filter");
        assert_eq!(path("net.ipv4.conf.eno2/100.rp_filter"), "/proc/sys/net/ipv4/conf/eno2.100/rp_filter");
        for name in ["", "net..x", "net/../kernel/x", "net.//.x", "/kernel/x", "net/"] {
            assert_eq!(path_of(name), None, "{name}");
        }
    }
}
