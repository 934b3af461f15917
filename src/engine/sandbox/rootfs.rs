//! The container's root filesystem: what containerd's snapshotter describes, mounted on `<bundle>/rootfs`.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};
use wasmedge_shim_protocol::RootfsMount;

use super::mounts;

/// mount(2) reads one page of options.
const MAX_DATA: usize = 4095;

/// Where the root filesystem of `bundle` is mounted.
pub fn target(bundle: &Path) -> PathBuf {
    bundle.join("rootfs")
}

/// Mounts all of `rootfs`, in order. What was mounted before an error stays: [`unmount`] takes it away.
pub fn mount_all(rootfs: &[RootfsMount], bundle: &Path) -> Result<()> {
    let root = target(bundle);
    if rootfs.is_empty() {
        return Ok(());
    }
    match fs::create_dir(&root) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            bail!("cannot make {}: {error}", root.display())
        }
        _ => {}
    }
    for one in rootfs {
        let target = target_below(&root, &one.target)?;
        mount_one(one, &target)
            .with_context(|| format!("cannot mount {} from {} on {}", one.fstype, one.source, target.display()))?;
    }
    Ok(())
}

/// Takes away every mount on the root filesystem of `bundle`.
pub fn unmount(bundle: &Path) -> io::Result<()> {
    let root = target(bundle);
    loop {
        match umount2(&root, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            // Not a mount point, or not there at all: done.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            // Somebody looks into it from outside of the container; it goes when they leave.
            Err(Errno::EBUSY) => umount2(&root, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?,
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn target_below(root: &Path, target: &str) -> Result<PathBuf> {
    let relative = Path::new(target.trim_start_matches('/'));
    ensure!(
        relative.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)),
        "rootfs mount target \"{target}\" leads out of the root filesystem"
    );
    Ok(root.join(relative))
}

fn mount_one(one: &RootfsMount, target: &Path) -> Result<()> {
    let mut options = mounts::parse(&one.options);
    if options.data.len() > MAX_DATA && one.fstype == "overlay" {
        options.data = shorten_overlay(&options.data)?;
    }
    ensure!(
        options.data.len() <= MAX_DATA,
        "its options take {} bytes, the kernel reads {MAX_DATA}",
        options.data.len()
    );
    let fstype = (!one.fstype.is_empty()).then_some(one.fstype.as_str());
    let data = (!options.data.is_empty()).then_some(options.data.as_str());
    mount(Some(one.source.as_str()), target, fstype, options.flags, data)?;
    // A bind mount takes the other flags from its source, until it is remounted.
    if options.flags.contains(MsFlags::MS_BIND) && options.flags.contains(MsFlags::MS_RDONLY) {
        mount(None::<&str>, target, None::<&str>, options.flags | MsFlags::MS_REMOUNT, None::<&str>)?;
    }
    Ok(())
}

/// Makes the paths of many layers fit by naming them from their common parent, which becomes this process's working
/// directory.
fn shorten_overlay(data: &str) -> Result<String> {
    let (lower, rest): (Vec<&str>, Vec<&str>) = data.split(',').partition(|option| option.starts_with("lowerdir="));
    let layers: Vec<&Path> =
        lower.iter().flat_map(|option| option["lowerdir=".len()..].split(':')).map(Path::new).collect();
    let parent = common_parent(&layers).context("its layers have no common parent directory")?;
    std::env::set_current_dir(&parent).with_context(|| format!("cannot enter {}", parent.display()))?;
    let names: Vec<_> = layers
        .iter()
        .filter_map(|layer| layer.strip_prefix(&parent).ok())
        .map(|layer| layer.to_string_lossy())
        .collect();
    Ok([format!("lowerdir={}", names.join(":"))]
        .into_iter()
        .chain(rest.into_iter().map(str::to_owned))
        .collect::<Vec<_>>()
        .join(","))
}

fn common_parent(paths: &[&Path]) -> Option<PathBuf> {
    let mut parent = paths.first()?.parent()?.to_owned();
    while !paths.iter().all(|path| path.starts_with(&parent)) {
        parent = parent.parent()?.to_owned();
    }
    (parent != Path::new("/")).then_some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_outside_of_the_root_is_refused() {
        let root = Path::new("/b/rootfs");
        assert_eq!(target_below(root, "").unwrap(), Path::new("/b/rootfs/"));
        assert_eq!(target_below(root, "/etc").unwrap(), Path::new("/b/rootfs/etc"));
        assert!(target_below(root, "../../etc").is_err());
    }

    #[test]
    fn many_layers_are_named_from_their_common_parent() {
        let parent = tempfile::tempdir().unwrap();
        let before = std::env::current_dir().unwrap();
        let layers: Vec<String> = (0..128).map(|n| format!("{}/snapshots/{n}/fs", parent.path().display())).collect();
        fs::create_dir(parent.path().join("snapshots")).unwrap();
        let data = format!("workdir=/w,upperdir=/u,lowerdir={}", layers.join(":"));
        let short = shorten_overlay(&data).unwrap();
        std::env::set_current_dir(before).unwrap();
        assert!(short.starts_with("lowerdir=0/fs:1/fs:2/fs"), "{short}");
        assert!(short.ends_with(",workdir=/w,upperdir=/u"), "{short}");
        assert!(short.len() < MAX_DATA);
    }

    #[test]
    fn unmounting_what_is_not_mounted_is_no_error() {
        let bundle = tempfile::tempdir().unwrap();
        unmount(bundle.path()).unwrap();
        fs::create_dir(bundle.path().join("rootfs")).unwrap();
        unmount(bundle.path()).unwrap();
    }
}
