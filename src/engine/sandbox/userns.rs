//! A container's own user namespace.
//!
//! libcontainer makes one too, but then insists on systemd for the cgroups. So it is made here, and libcontainer joins
//! it as it would one of another container.

use std::{
    fs::{self, File},
    os::fd::{AsRawFd, OwnedFd},
};

use anyhow::{Context, Result, bail};
use nix::{
    sched::{CloneFlags, unshare},
    sys::wait::waitpid,
    unistd::{ForkResult, fork, pipe},
};
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

/// Makes the namespace that the spec asks for, and the spec name it; `None` where it asks for none of its own. The
/// namespace lives as long as the descriptor, or a process in it.
pub fn make(spec: &mut Spec) -> Result<Option<OwnedFd>> {
    let Some(linux) = spec.linux_mut() else { return Ok(None) };
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    let asked = |namespace: &&mut oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none()
    };
    let Some(namespace) = namespaces.iter_mut().find(asked) else { return Ok(None) };
    let (users, groups) = (linux.uid_mappings().as_deref(), linux.gid_mappings().as_deref());
    let made = with_mappings(users.unwrap_or_default(), groups.unwrap_or_default())?;
    namespace.set_path(Some(format!("/proc/self/fd/{}", made.as_raw_fd()).into()));
    linux.set_namespaces(Some(namespaces));
    linux.set_uid_mappings(None);
    linux.set_gid_mappings(None);
    Ok(Some(made))
}

/// A user namespace with these mappings.
///
/// # Errors
/// Where a mapping is missing or the kernel refuses it, with the mapping.
pub fn with_mappings(users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> Result<OwnedFd> {
    if users.is_empty() || groups.is_empty() {
        bail!("the spec has a user namespace without uidMappings and gidMappings");
    }
    let ((wait, done), (made, tell)) = (pipe()?, pipe()?);
    // SAFETY: a worker has a single thread.
    match unsafe { fork()? } {
        ForkResult::Child => {
            drop((done, made));
            let code = i32::from(unshare(CloneFlags::CLONE_NEWUSER).is_err());
            let _ = nix::unistd::write(&tell, &[code as u8]);
            // Until the parent has a descriptor of the namespace.
            let _ = nix::unistd::read(&wait, &mut [0]);
            // SAFETY: ends the child without the parent's destructors.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop((wait, tell));
            let mut answer = [1];
            let answered = nix::unistd::read(&made, &mut answer);
            let namespace = match (answered, answer) {
                (Ok(1), [0]) => map(child.as_raw(), users, groups),
                _ => Err(anyhow::anyhow!("the kernel gives no user namespace")),
            };
            drop(done);
            waitpid(child, None)?;
            namespace
        }
    }
}

fn map(pid: i32, users: &[LinuxIdMapping], groups: &[LinuxIdMapping]) -> Result<OwnedFd> {
    for (file, mappings) in [("uid_map", users), ("gid_map", groups)] {
        let lines: Vec<_> =
            mappings.iter().map(|one| format!("{} {} {}", one.container_id(), one.host_id(), one.size())).collect();
        fs::write(format!("/proc/{pid}/{file}"), lines.join("\n"))
            .with_context(|| format!("the kernel refuses the {file} \"{}\"", lines.join(", ")))?;
    }
    let namespace = File::open(format!("/proc/{pid}/ns/user")).context("cannot open the new user namespace")?;
    Ok(namespace.into())
}
