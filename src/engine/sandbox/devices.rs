//! `/dev` of a container, and devices elsewhere.
//!
//! libcontainer 0.7.0 differs from runc here: it fills `/dev` whoever it belongs to, so that a `/dev` of the node that is
//! mounted in a container loses its `ptmx` (`rootfs/rootfs.rs`, `prepare_rootfs`), and has devices nowhere else
//! (`rootfs/device.rs`, `create_devices`). So it is given a `/dev` of the container's own, behind which the other one
//! waits, and the other devices are made here, by descriptors below the container's root.

use std::{
    fs::{File, Permissions},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    fcntl::AtFlags,
    mount::{MntFlags, umount2},
    sys::{
        stat::{Mode, makedev, umask},
        statfs::{FsType, fstatfs},
    },
    unistd::{Gid, Uid, fchownat},
};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount, MountBuilder, Spec};
use pathrs::{
    InodeType, Root,
    error::ErrorKind,
    flags::{OpenFlags, RenameFlags},
};
use wasmedge_shim_protocol::Pidfd;

use super::{
    child,
    mounts::{
        destinations::is_bind,
        detached::DetachedMount,
        tree::{Cover, Tree},
    },
    translate,
};

const DEV: &str = "/dev";
/// Where a `/dev` of somebody else waits.
const WAITING: &str = "/dev/bound";
const CONSOLE: &str = "/dev/console";
const TERMINALS: &str = "/dev/pts";

/// Of a devpts filesystem (linux/magic.h).
const DEVPTS: FsType = FsType(0x1cd1);

/// What libcontainer leaves to be done.
pub struct Left {
    /// There is a `/dev` of somebody else, over which these mounts go.
    bound: Option<Vec<PathBuf>>,
    /// Devices with the node's numbers of their owners.
    in_root: Vec<Node>,
    in_mounts: Vec<Node>,
}

struct Node {
    device: LinuxDevice,
    owner: (Uid, Gid),
}

/// Takes out of `spec`, whose mounts are settled in `tree`, what libcontainer must not do.
///
/// # Errors
/// A path of a device that leads nowhere.
pub fn take(spec: &mut Spec, tree: &Tree) -> Result<Left> {
    let mut left = Left { bound: None, in_root: Vec::new(), in_mounts: Vec::new() };
    let bound =
        spec.mounts().iter().flatten().position(|mount| is_bind(mount) && mount.destination() == Path::new(DEV));
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().clone()).unwrap_or_default();
    let mut usual = Vec::new();
    if let Some(position) = bound {
        // Whoever mounts a /dev has in it what is wanted, as with runc.
        let mounts = spec.mounts().clone().unwrap_or_default();
        let terminal = spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or_default();
        let (mounts, over) = behind_another(mounts, position, terminal)?;
        spec.set_mounts(Some(mounts));
        left.bound = Some(over);
    } else {
        for mut device in devices {
            let place = tree.resolve(device.path()).context("linux.devices")?;
            if is_usual(&device, &place, tree) {
                usual.push(device);
                continue;
            }
            let owner = translate::owner_on_the_node(spec, device.uid().unwrap_or(0), device.gid().unwrap_or(0));
            let nodes = match tree.cover(&place) {
                Cover::Root => &mut left.in_root,
                Cover::Mount { .. } => &mut left.in_mounts,
            };
            device.set_path(place);
            nodes.push(Node { device, owner });
        }
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_devices(Some(usual));
    }
    Ok(left)
}

/// Whether libcontainer makes the device, and nobody else can put a link in its way: directly in the root's `/dev`, or
/// in a filesystem of the container's own.
fn is_usual(device: &LinuxDevice, place: &Path, tree: &Tree) -> bool {
    let own = match tree.cover(place) {
        Cover::Root => place.parent() == Some(Path::new(DEV)),
        Cover::Mount { at, bind } => at == Path::new(DEV) && !bind,
    };
    own && device.path().starts_with(DEV)
}

/// The mounts with a filesystem of the container's own on `/dev`, behind which is what is mounted there at `position`; and
/// the places of those that go over that in the end.
fn behind_another(mounts: Vec<Mount>, position: usize, terminal: bool) -> Result<(Vec<Mount>, Vec<PathBuf>)> {
    let options = ["nosuid", "mode=755", "size=65536k"].map(str::to_owned).to_vec();
    let own = MountBuilder::default().typ("tmpfs").source("tmpfs").destination(DEV).options(options).build()?;
    let (mut all, mut over) = (mounts, Vec::<PathBuf>::new());
    for mount in &mut all[position..] {
        let place = mount.destination().clone();
        if place == Path::new(DEV) {
            mount.set_destination(WAITING.into());
        } else if place.starts_with(DEV) && !over.iter().any(|outer| place.starts_with(outer)) {
            over.push(place);
        }
    }
    if terminal && !over.iter().any(|place| place == Path::new(TERMINALS)) {
        // Where libcontainer makes the terminal.
        let source = all[position].source().clone().unwrap_or_default().join("pts");
        if has_terminals(&source) {
            let options = vec!["rbind".to_owned()];
            let there = MountBuilder::default().typ("bind").source(source).destination(TERMINALS).options(options);
            all.insert(position + 1, there.build()?);
        }
    }
    if terminal {
        over.push(CONSOLE.into());
    }
    all.insert(position, own);
    Ok((all, over))
}

/// Whether a directory, and no link to one, is a filesystem of terminals.
fn has_terminals(directory: &Path) -> bool {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY;
    let opened = File::options().read(true).custom_flags(flags).open(directory);
    opened.and_then(|opened| Ok(fstatfs(opened)?)).is_ok_and(|found| found.filesystem_type() == DEVPTS)
}

impl Left {
    /// Makes the devices that are in the root filesystem `root`, before anything is mounted in it.
    ///
    /// # Errors
    /// Names the device.
    pub fn make_in_root(&self, root: &Path) -> Result<()> {
        if self.in_root.is_empty() {
            return Ok(());
        }
        let root = Root::open(root).with_context(|| format!("cannot use the root {}", root.display()))?;
        self.in_root.iter().try_for_each(|node| node.make(&root))
    }

    /// Does the rest in the container with the init `pid`, the process behind `pidfd`, which waits to be started.
    ///
    /// # Errors
    /// Names what fails.
    pub fn finish(&self, pid: i32, pidfd: &Pidfd) -> Result<()> {
        if let Some(over) = &self.bound {
            return child::in_mounts_of(pidfd, || reveal(over)).context("cannot give the container its /dev");
        }
        let path = format!("/proc/{pid}/root");
        // pathrs itself does not follow a link to a root, and this one is a link.
        let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(&path);
        let root = Root::from_fd(root.with_context(|| format!("cannot open {path}"))?);
        ensure!(!pidfd.has_ended(), "the container's init has ended");
        name_core(&root);
        self.in_mounts.iter().try_for_each(|node| node.make(&root))
    }
}

/// libcontainer makes a link `/dev/kcore` where the kernel has that file; runc, and Linux itself, call it `/dev/core`.
fn name_core(root: &Root) {
    if Path::new("/proc/kcore").exists() {
        // An image without a `/dev` of its own may have neither, or both.
        let _ = root.rename("/dev/kcore", "/dev/core", RenameFlags::RENAME_NOREPLACE);
    }
}

/// Puts the `/dev` that waits in the place of the one that libcontainer has filled, and `over` it what is mounted there. To
/// be called in the container.
fn reveal(over: &[PathBuf]) -> Result<()> {
    let copy = |path: &Path| {
        let is_directory = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        let mount = DetachedMount::copy(path, true).with_context(|| format!("cannot copy {}", path.display()))?;
        anyhow::Ok((path.to_owned(), is_directory, mount))
    };
    let over = over.iter().map(|path| copy(path)).collect::<Result<Vec<_>>>()?;
    let (_, _, waiting) = copy(Path::new(WAITING))?;
    umount2(DEV, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    waiting.attach(Path::new(DEV)).context("cannot mount it")?;
    let root = Root::open("/")?;
    for (path, is_directory, mount) in over {
        let failed = || format!("cannot mount {}", path.display());
        let place = place_for(&root, &path, is_directory).with_context(failed)?;
        mount.attach_to(place.as_fd()).with_context(failed)?;
    }
    Ok(())
}

/// What is at `path`, or is made there for a mount.
fn place_for(root: &Root, path: &Path, is_directory: bool) -> Result<OwnedFd> {
    if let Ok(found) = root.resolve(path) {
        return Ok(found.into());
    }
    if is_directory {
        return Ok(root.mkdir_all(path, &Permissions::from_mode(0o755))?.into());
    }
    let flags = OpenFlags::O_EXCL | OpenFlags::O_NOFOLLOW | OpenFlags::O_CLOEXEC;
    Ok(root.create_file(path, flags, &Permissions::from_mode(0o644))?.into())
}

impl Node {
    fn make(&self, root: &Root) -> Result<()> {
        let path = self.device.path();
        self.try_to_make(root).with_context(|| format!("cannot make the device {}", path.display()))
    }

    fn try_to_make(&self, root: &Root) -> Result<()> {
        let (device, path) = (&self.device, self.device.path());
        let mode = Permissions::from_mode(device.file_mode().unwrap_or(0o666) & 0o7777);
        let (major, minor) = (u64::try_from(device.major())?, u64::try_from(device.minor())?);
        let number = makedev(major, minor);
        let kind = match device.typ() {
            LinuxDeviceType::B => InodeType::BlockDevice(mode, number),
            LinuxDeviceType::C | LinuxDeviceType::U => InodeType::CharacterDevice(mode, number),
            LinuxDeviceType::P => InodeType::Fifo(mode),
            LinuxDeviceType::A => bail!("it has no type"),
        };
        if let Some(parent) = path.parent() {
            root.mkdir_all(parent, &Permissions::from_mode(0o755))?;
        }
        let before = umask(Mode::empty());
        let made = root.create(path, &kind);
        umask(before);
        match made {
            Ok(()) => {}
            // What is there stays, as under runc.
            Err(error) if error.kind() == ErrorKind::OsError(Some(libc::EEXIST)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let made = root.resolve_nofollow(path)?;
        fchownat(&made, "", Some(self.owner.0), Some(self.owner.1), AtFlags::AT_EMPTY_PATH)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(mounts: serde_json::Value, devices: serde_json::Value) -> Spec {
        let linux = serde_json::json!({ "devices": devices });
        serde_json::from_value(serde_json::json!({ "ociVersion": "1.2.0", "mounts": mounts, "linux": linux })).unwrap()
    }

    fn null_at(path: &str) -> serde_json::Value {
        serde_json::json!({ "path": path, "type": "c", "major": 1, "minor": 3 })
    }

    #[test]
    fn a_dev_of_somebody_else_waits_behind_one_of_the_container_s_own() {
        let root = tempfile::tempdir().unwrap();
        let mounts = serde_json::json!([
            { "destination": "/data", "type": "bind", "source": "/tmp" },
            { "destination": "/dev", "type": "none", "source": "/tmp", "options": ["rbind", "ro"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts" },
        ]);
        let mut spec = spec(mounts, serde_json::json!([null_at("/dev/other")]));
        let left = take(&mut spec, &Tree::new(root.path()).unwrap()).unwrap();
        assert_eq!(left.bound, Some(vec![PathBuf::from("/dev/pts")]));
        let mounts = spec.mounts().clone().unwrap();
        let places: Vec<_> = mounts.iter().map(|mount| mount.destination().display().to_string()).collect();
        assert_eq!(places, ["/data", "/dev", "/dev/bound", "/dev/pts"]);
        assert_eq!(mounts[1].typ().as_deref(), Some("tmpfs"));
        assert_eq!(spec.linux().as_ref().unwrap().devices().as_deref(), Some(&[][..]));
    }

    #[test]
    fn a_device_elsewhere_is_made_by_hand() {
        let root = tempfile::tempdir().unwrap();
        let devices = ["/dev/one", "/dev/a/two", "/data/disk", "/dev/../disk", "/dev/shm/x"];
        let mut spec = spec(serde_json::json!([]), devices.map(null_at).into_iter().collect());
        let mut tree = Tree::new(root.path()).unwrap();
        tree.mount("/dev".into(), None);
        tree.mount("/dev/shm".into(), None);
        let left = take(&mut spec, &tree).unwrap();
        let paths =
            |nodes: &[Node]| -> Vec<_> { nodes.iter().map(|node| node.device.path().display().to_string()).collect() };
        assert_eq!(
            (paths(&left.in_root), paths(&left.in_mounts)),
            (vec!["/data/disk".into(), "/disk".into()], vec!["/dev/shm/x".into()])
        );
        let usual = spec.linux().as_ref().unwrap().devices().clone().unwrap();
        assert_eq!(
            usual.iter().map(|device| device.path().display().to_string()).collect::<Vec<_>>(),
            ["/dev/one", "/dev/a/two"]
        );
    }
}
