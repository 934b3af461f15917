//! Names in `/dev` of a container.

use std::{fs::File, os::unix::fs::OpenOptionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use pathrs::{Root, flags::RenameFlags};
use wasmedge_shim_protocol::Pidfd;

/// libcontainer makes a link `/dev/kcore` where the kernel has that file; runc, and Linux itself, call it `/dev/core`.
/// `pid` is the container's init, the process behind `pidfd`.
pub fn name_core(pid: i32, pidfd: &Pidfd) -> Result<()> {
    if !Path::new("/proc/kcore").exists() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/root");
    // pathrs itself does not follow a link to a root, and this one is a link.
    let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(&path);
    let root = Root::from_fd(root.with_context(|| format!("cannot open {path}"))?);
    ensure!(!pidfd.has_ended(), "the container's init has ended");
    // An image without a `/dev` of its own may have neither, or both.
    let _ = root.rename("/dev/kcore", "/dev/core", RenameFlags::RENAME_NOREPLACE);
    Ok(())
}
