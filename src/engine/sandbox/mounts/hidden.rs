//! Bind mounts of a module's container without what a module must not see: a `/` or `/proc` of the node, mounted
//! somewhere, has the engine's own process in it.
//!
//! This is done before the container's init exists, in a mount namespace of the worker's own, from which libcontainer
//! takes the mounts: the init has lost the right to unmount when it reads the module.

use std::{
    fs::{self, File},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use oci_spec::runtime::{Mount, Spec};

use super::{destinations::is_bind, detached::DetachedMount, staging::place_of_mounts};
use crate::guest::{hidden_below, is_hidden};

/// Below the bundle, which containerd has opened to the container's root.
const NAME: &str = "shown";
/// How many mounts may lie above a hidden one, in one place.
const MOST_ROUNDS: usize = 16;

/// Takes out of a module's `spec` the bind mounts of hidden filesystems, and gives it the others without them. What had
/// some in it is no longer tied to the node's mounts, whatever the spec says.
///
/// # Errors
/// Names the mount that cannot be prepared.
pub fn hide(spec: &mut Spec, bundle: &Path) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    mounts.retain(|mount| !is_bind(mount) || !mount.source().as_deref().is_some_and(shows_hidden));
    let mountinfo = read_mountinfo()?;
    let has_some = |path: &Path| {
        fs::canonicalize(path).is_ok_and(|path| path.is_dir() && !hidden_below(&mountinfo, &path).is_empty())
    };
    let sources = mounts.iter_mut().filter(|mount| is_bind(mount) && brings_all(mount));
    let mut affected: Vec<&mut Mount> =
        sources.filter(|mount| mount.source().as_deref().is_some_and(has_some)).collect();
    let root = spec.root().as_ref().map(|root| root.path().clone());
    if let Some(root) = &root {
        ensure!(!shows_hidden(root), "the root filesystem {} is one of the kernel's own", root.display());
    }
    let root = root.filter(|root| has_some(root));
    if root.is_none() && affected.is_empty() {
        spec.set_mounts(Some(mounts));
        return Ok(());
    }
    let place = place_of_mounts(bundle, NAME)?;
    // Where mountinfo has it.
    let place = fs::canonicalize(&place).with_context(|| format!("cannot use {}", place.display()))?;
    for (number, one) in affected.iter_mut().enumerate() {
        let source = one.source().clone().unwrap_or_default();
        one.set_source(Some(show(&source, &place.join(number.to_string()))?));
    }
    if let (Some(path), Some(root)) = (root, spec.root_mut()) {
        root.set_path(show(&path, &place.join("root"))?);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

fn shows_hidden(source: &Path) -> bool {
    File::options().read(true).custom_flags(libc::O_PATH).open(source).is_ok_and(is_hidden)
}

/// Whether what is mounted in the source comes along.
fn brings_all(mount: &Mount) -> bool {
    mount.options().iter().flatten().any(|option| option == "rbind")
}

/// A copy of `source` at `place`, without the hidden filesystems in it.
fn show(source: &Path, place: &Path) -> Result<PathBuf> {
    let failed = || format!("cannot hide from a module what is mounted in {}", source.display());
    fs::create_dir(place).with_context(failed)?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).with_context(failed)?;
    DetachedMount::copy(source, true).and_then(|copy| copy.attach(place)).with_context(failed)?;
    // Neither does the node lose what is unmounted here, nor comes what it mounts later.
    mount(None::<&str>, place, None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .with_context(failed)?;
    for _ in 0..MOST_ROUNDS {
        let hidden = hidden_below(&read_mountinfo()?, place);
        if hidden.is_empty() {
            return Ok(place.to_owned());
        }
        // What is mounted later lies above what was there before.
        for hidden in hidden.iter().rev() {
            umount2(hidden, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).with_context(failed)?;
        }
    }
    bail!("{}: too many mounts lie above each other", failed())
}

fn read_mountinfo() -> Result<Vec<u8>> {
    fs::read("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")
}
