//! Whether mounts that are made later, on the node or in the container, show up on the other side (mount(8), "Shared
//! subtree operations").
//!
//! libcontainer sets this for the root only, and all mounts follow it. Each one's own is set here, when the container
//! is made and has not been started.

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use oci_spec::runtime::Spec;
use wasmedge_shim_protocol::Pidfd;

use crate::sandbox::child;

/// Where a mount asks for a tie to the node, gives each mount of the container with the init behind `pidfd` the propagation
/// that it names.
pub fn set(spec: &Spec, pidfd: &Pidfd) -> Result<()> {
    let mounts: Vec<_> = spec
        .mounts()
        .iter()
        .flatten()
        .filter_map(|one| {
            Some((one.destination().clone(), one.options().iter().flatten().rev().find_map(|o| flags(o))?))
        })
        .collect();
    if !mounts.iter().any(|(_, flags)| flags.intersects(MsFlags::MS_SHARED | MsFlags::MS_SLAVE)) {
        return Ok(());
    }
    child::in_mounts_of(pidfd, || {
        for (destination, flags) in &mounts {
            mount(None::<&str>, destination, None::<&str>, *flags, None::<&str>)
                .with_context(|| format!("cannot set the propagation of {}", destination.display()))?;
        }
        Ok(())
    })
}

/// What a mount option says of propagation.
fn flags(option: &str) -> Option<MsFlags> {
    Some(match option {
        "shared" => MsFlags::MS_SHARED,
        "rshared" => MsFlags::MS_SHARED | MsFlags::MS_REC,
        "slave" => MsFlags::MS_SLAVE,
        "rslave" => MsFlags::MS_SLAVE | MsFlags::MS_REC,
        "private" => MsFlags::MS_PRIVATE,
        "rprivate" => MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        "unbindable" => MsFlags::MS_UNBINDABLE,
        "runbindable" => MsFlags::MS_UNBINDABLE | MsFlags::MS_REC,
        _ => return None,
    })
}
