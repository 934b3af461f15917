//! The container's root filesystem: what containerd's snapshotter describes, mounted on `<bundle>/rootfs`.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use wasmedge_shim_protocol::RootfsMount;

use super::{
    detached::{self, DetachedMount},
    options::{self, MountOptions},
};
use crate::sandbox::{namespaces, userns};

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

/// Where a mount of the root filesystem at `root` goes.
pub fn target_below(root: &Path, target: &str) -> Result<PathBuf> {
    let relative = Path::new(target.trim_start_matches('/'));
    ensure!(
        relative.components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir)),
        "rootfs mount target \"{target}\" leads out of the root filesystem"
    );
    Ok(root.join(relative))
}

fn mount_one(one: &RootfsMount, target: &Path) -> Result<()> {
    let mut options = options::parse(&one.options);
    if options.data.len() > MAX_DATA && one.fstype == "overlay" && options.mappings.is_none() {
        options.data = shorten_overlay(&options.data)?;
    }
    ensure!(
        options.data.len() <= MAX_DATA || options.mappings.is_some(),
        "its options take {} bytes, the kernel reads {MAX_DATA}",
        options.data.len()
    );
    if let Some(mappings) = &options.mappings {
        let namespace = userns::with_mappings(&mappings.users, &mappings.groups)?;
        return mount_mapped(one, target, &options, &namespace);
    }
    let fstype = (!one.fstype.is_empty()).then_some(one.fstype.as_str());
    let data = (!options.data.is_empty()).then_some(options.data.as_str());
    mount(Some(one.source.as_str()), target, fstype, options.flags, data)?;
    // A bind mount takes the other flags from its source, until it is given its own.
    if options.flags.contains(MsFlags::MS_BIND) {
        let mounted = File::options().read(true).custom_flags(libc::O_PATH).open(target)?;
        detached::add_flags(mounted.as_fd(), options.flags)?;
    }
    Ok(())
}

/// Mounts what belongs to a user namespace. Of an overlay the layers below are mapped, which are those of the image and
/// shared; the upper one is the container's already. Anything else is mapped itself.
fn mount_mapped(one: &RootfsMount, target: &Path, options: &MountOptions, namespace: &OwnedFd) -> Result<()> {
    if one.fstype != "overlay" {
        let copy = DetachedMount::copy(Path::new(&one.source), options.flags.contains(MsFlags::MS_REC))?;
        copy.map_ids(namespace, false).context("its filesystem cannot be mapped")?;
        copy.add_flags(options.flags)?;
        return copy.attach(target).map_err(Into::into);
    }
    // In a mount namespace of its own, so that the mapped layers are at no place of the node, not even after a crash.
    let node = File::open("/proc/self/ns/mnt")?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let made = mapped_overlay(one, target, options, namespace);
    namespaces::go_back(&node)?;
    made?.attach(target).map_err(Into::into)
}

/// The overlay, mounted over `target` in this mount namespace, as a mount for another.
fn mapped_overlay(
    one: &RootfsMount,
    target: &Path,
    options: &MountOptions,
    namespace: &OwnedFd,
) -> Result<DetachedMount> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some("mode=0700"))?;
    let mut data = Vec::new();
    for option in options.data.split(',') {
        let Some(layers) = option.strip_prefix("lowerdir=") else {
            data.push(option.to_owned());
            continue;
        };
        let mut mapped = Vec::new();
        for (number, layer) in layers.split(':').enumerate() {
            let place = target.join(number.to_string());
            fs::create_dir(&place)?;
            let copy = DetachedMount::copy(Path::new(layer), false).with_context(|| format!("layer {layer}"))?;
            copy.map_ids(namespace, false).with_context(|| format!("the filesystem of {layer} cannot be mapped"))?;
            copy.make_read_only()?;
            copy.attach(&place)?;
            // From there the names are short, however many layers there are.
            mapped.push(number.to_string());
        }
        data.push(format!("lowerdir={}", mapped.join(":")));
    }
    std::env::set_current_dir(target)?;
    let over = target.join("overlay");
    fs::create_dir(&over)?;
    mount(Some(one.source.as_str()), &over, Some("overlay"), options.flags, Some(data.join(",").as_str()))?;
    Ok(DetachedMount::copy(&over, false)?)
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

/// The directory that all of `paths` are below; `None` where that is the root directory.
pub fn common_parent(paths: &[&Path]) -> Option<PathBuf> {
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

    /// Regression test for C17: a mapped root that is no overlay, and one that is mounted by bind, lost its flags.
    #[test]
    fn a_root_by_bind_has_the_flags_that_it_is_given() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Only this thread: nothing of it is left.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
        mount(Some("tmpfs"), source.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        for (mappings, options) in [
            (&["uidmap=0:1000:10", "gidmap=0:1000:10"][..], &["bind", "ro", "nosuid", "nodev"][..]),
            (&[], &["bind", "ro", "nosuid", "nodev"]),
            (&[], &["rbind", "rw", "nosuid", "nodev"]),
        ] {
            let words = options.iter().chain(mappings).map(ToString::to_string).collect();
            let one = RootfsMount {
                fstype: "bind".into(),
                source: source.path().display().to_string(),
                target: String::new(),
                options: words,
            };
            mount_one(&one, target.path()).unwrap();
            let flags = nix::sys::statvfs::statvfs(target.path()).unwrap().flags();
            umount2(target.path(), MntFlags::MNT_DETACH).unwrap();
            use nix::sys::statvfs::FsFlags;
            assert!(flags.contains(FsFlags::ST_NOSUID | FsFlags::ST_NODEV), "{options:?} {mappings:?}: {flags:?}");
            assert_eq!(
                flags.contains(FsFlags::ST_RDONLY),
                options.contains(&"ro"),
                "{options:?} {mappings:?}: {flags:?}"
            );
        }
        umount2(source.path(), MntFlags::MNT_DETACH).unwrap();
    }
}
