//! Where the mounts of a container go, settled while nothing is mounted yet.
//!
//! libcontainer 0.7.0 differs from runc here (`rootfs/mount.rs`, `mount_into_container`): a link that leads to nothing is
//! an error, a tmpfs is open to all whatever it covers, and what is mounted read-only has no room for the mounts in it;
//! only a mount of type proc is kept from standing in for a part of `/proc` (`check_proc_mount`), and the root itself may
//! be covered. So its spec gets destinations without links, modes said, and `ro` left for later.

use std::{
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    mount::MsFlags,
    sys::{
        stat::FileStat,
        statfs::{PROC_SUPER_MAGIC, statfs},
    },
};
use oci_spec::runtime::{Mount, Spec};
use wasmedge_shim_protocol::Pidfd;

use super::{detached, tree::Tree};
use crate::sandbox::child;

/// What of `/proc` may be replaced, as by lxcfs.
const REPLACEABLE: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Directories that libcontainer fills by paths of the node before the container's root is its root, so that a link there
/// would lead it into the node (`rootfs/symlink.rs`, `rootfs/device.rs`), and what stands for the kernel.
const FIXED: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Refuses a root filesystem in which `/dev`, `/proc` or `/sys` is anything but a directory; it may be missing.
///
/// # Errors
/// Names it.
pub fn check_root(root: &Path) -> Result<()> {
    let tree = Tree::new(root).with_context(|| format!("cannot use the root {}", root.display()))?;
    for name in FIXED {
        let Some(found) = tree.look(Path::new(name)) else { continue };
        let kind = found.st_mode & libc::S_IFMT;
        let what = if kind == libc::S_IFLNK { "a link" } else { "no directory" };
        ensure!(kind == libc::S_IFDIR, "{name} of the root filesystem is {what}, and must be an ordinary directory");
    }
    Ok(())
}

/// Settles where the mounts of `spec` go in the root filesystem `root`; the files that the container will have.
///
/// # Errors
/// A destination that is refused, with the cause.
pub fn settle(spec: &mut Spec, root: &Path) -> Result<Tree> {
    let mut tree = Tree::new(root).with_context(|| format!("cannot use the root {}", root.display()))?;
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for mount in &mut mounts {
        let asked = mount.destination().clone();
        settle_one(mount, &mut tree).with_context(|| format!("cannot mount on {}", asked.display()))?;
    }
    spec.set_mounts(Some(mounts));
    Ok(tree)
}

fn settle_one(mount: &mut Mount, tree: &mut Tree) -> Result<()> {
    let place = tree.resolve(mount.destination())?;
    ensure!(place != Path::new("/"), "it is the root filesystem itself");
    match mount.typ().as_deref() {
        Some(kind @ ("proc" | "sysfs")) if !is_bind(mount) => check_ordinary(tree, kind, mount.destination())?,
        _ => {}
    }
    check_below_proc(mount, &place)?;
    if is_new(mount, "tmpfs") {
        say_mode(mount, tree.look(&place));
    }
    let source = if is_bind(mount) { mount.source().as_deref() } else { None };
    tree.mount(place.clone(), source);
    mount.set_destination(place);
    Ok(())
}

/// What shows the kernel is mounted where it is asked for, and not through a link of the image (CVE-2023-27561).
fn check_ordinary(tree: &Tree, kind: &str, destination: &Path) -> Result<()> {
    let Some(name) = destination.file_name() else { return Ok(()) };
    let parent = tree.resolve(destination.parent().unwrap_or(Path::new("/")))?;
    let found = tree.look(&parent.join(name));
    ensure!(
        found.is_none_or(|found| is_directory(&found)),
        "filesystem {kind:?} must be mounted on ordinary directory"
    );
    Ok(())
}

/// A tmpfs without a mode has that of the directory which it covers.
fn say_mode(mount: &mut Mount, covered: Option<FileStat>) {
    let Some(covered) = covered.filter(is_directory) else { return };
    let mut options = mount.options().clone().unwrap_or_default();
    // Of two, the last counts.
    options.insert(0, format!("mode={:04o}", covered.st_mode & 0o7777));
    mount.set_options(Some(options));
}

fn is_directory(found: &FileStat) -> bool {
    found.st_mode & libc::S_IFMT == libc::S_IFDIR
}

/// Filesystems of the container's own that are to be read-only when all is mounted in them.
pub struct ReadOnly(Vec<PathBuf>);

impl ReadOnly {
    /// Takes the option out of `spec`, whose mounts are settled.
    pub fn take(spec: &mut Spec) -> Self {
        let mut places = Vec::<PathBuf>::new();
        let mut mounts = spec.mounts().clone().unwrap_or_default();
        for mount in &mut mounts {
            let place = mount.destination().clone();
            // It hides what is mounted there already.
            places.retain(|other| !other.starts_with(&place));
            let own = is_new(mount, "tmpfs") || (place == Path::new("/dev") && !is_bind(mount));
            if own && take_read_only(mount) {
                places.push(place);
            }
        }
        spec.set_mounts(Some(mounts));
        Self(places)
    }

    /// Makes them read-only in the container with the init behind `pidfd`, which waits to be started.
    ///
    /// # Errors
    /// Names the mount.
    pub fn finish(&self, pidfd: &Pidfd) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        child::in_mounts_of(pidfd, || {
            let root = pathrs::Root::open("/").context("cannot open the container's root")?;
            self.0.iter().try_for_each(|place| {
                let failed = || format!("cannot make the mount on {} read-only", place.display());
                let mount = root.resolve(place).with_context(failed)?;
                detached::add_flags(mount.as_fd(), MsFlags::MS_RDONLY).with_context(failed)
            })
        })
    }
}

/// Whether a mount shows what is somewhere else already. Its type then says nothing.
pub fn is_bind(mount: &Mount) -> bool {
    let bind = |option: &String| option == "bind" || option == "rbind";
    mount.typ().as_deref() == Some("bind") || mount.options().iter().flatten().any(bind)
}

fn is_new(mount: &Mount, kind: &str) -> bool {
    mount.typ().as_deref() == Some(kind) && !is_bind(mount)
}

/// Takes the option `ro` out where it is the last word; whether it was.
fn take_read_only(mount: &mut Mount) -> bool {
    let mut options = mount.options().clone().unwrap_or_default();
    let last = options.iter().rev().find(|given| ["ro", "rw"].contains(&given.as_str()));
    if last.is_none_or(|last| last != "ro") {
        return false;
    }
    options.retain(|given| given != "ro");
    mount.set_options(Some(options));
    true
}

/// Whoever replaces a part of `/proc` deceives those who write to it, as for an AppArmor profile (CVE-2019-16884).
fn check_below_proc(mount: &Mount, place: &Path) -> Result<()> {
    if !place.starts_with("/proc") || REPLACEABLE.iter().any(|name| place == Path::new(name)) {
        return Ok(());
    }
    if place != Path::new("/proc") {
        bail!("it is inside /proc");
    }
    let shows_proc = || {
        let source = mount.source().as_deref().unwrap_or(Path::new(""));
        statfs(source).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC)
    };
    ensure!(is_new(mount, "proc") || (is_bind(mount) && shows_proc()), "it is not of type proc");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, os::unix::fs::symlink};

    use super::*;

    fn spec(mounts: serde_json::Value) -> Spec {
        serde_json::from_value(serde_json::json!({ "ociVersion": "1.2.0", "mounts": mounts })).unwrap()
    }

    fn refusal(root: &Path, mount: serde_json::Value) -> String {
        let refused = settle(&mut spec(serde_json::json!([mount])), root).err();
        refused.map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_root_whose_dev_is_a_link_is_refused_and_one_without_is_not() {
        for name in ["dev", "proc", "sys"] {
            let root = tempfile::tempdir().unwrap();
            check_root(root.path()).unwrap();
            for target in ["/tmp", "tmp", "/proc/self/root/tmp", "../../../../../../tmp", "/nowhere"] {
                symlink(target, root.path().join(name)).unwrap();
                let error = check_root(root.path()).unwrap_err().to_string();
                assert!(error.starts_with(&format!("/{name} of the root filesystem is a link")), "{error}");
                fs::remove_file(root.path().join(name)).unwrap();
            }
            fs::write(root.path().join(name), "").unwrap();
            assert!(check_root(root.path()).unwrap_err().to_string().contains("is no directory"));
        }
    }

    #[test]
    fn what_stands_for_the_kernel_or_the_root_is_not_mounted_over() {
        let root = tempfile::tempdir().unwrap();
        symlink("/proc", root.path().join("to-proc")).unwrap();
        symlink("..", root.path().join("to-root")).unwrap();
        symlink("/x", root.path().join("link")).unwrap();
        let bind =
            |to: &str| serde_json::json!({ "destination": to, "type": "none", "source": "/tmp", "options": ["rbind"] });
        for (mount, cause) in [
            (bind("/"), "the root filesystem itself"),
            (bind("/a/.."), "the root filesystem itself"),
            (bind("/to-root"), "the root filesystem itself"),
            (bind("/proc"), "not of type proc"),
            (bind("/to-proc"), "not of type proc"),
            (bind("/to-proc/self/attr"), "inside /proc"),
            (serde_json::json!({ "destination": "/proc", "type": "tmpfs", "source": "tmpfs" }), "not of type proc"),
            (serde_json::json!({ "destination": "/link", "type": "proc", "source": "proc" }), "on ordinary directory"),
        ] {
            let refused = refusal(root.path(), mount.clone());
            assert!(refused.contains(cause), "{mount}: {refused}");
        }
        assert_eq!(refusal(root.path(), bind("/proc/cpuinfo")), "");
        assert_eq!(
            refusal(root.path(), serde_json::json!({ "destination": "/proc", "type": "proc", "source": "proc" })),
            ""
        );
    }

    #[test]
    fn a_tmpfs_has_the_mode_of_what_it_covers_and_becomes_read_only_last() {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secret");
        fs::create_dir(&secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o1700)).unwrap();
        let tmpfs = |to: &str, options: &[&str]| serde_json::json!({ "destination": to, "type": "tmpfs", "source": "tmpfs", "options": options });
        let mut spec = spec(serde_json::json!([
            tmpfs("/secret", &["nosuid"]),
            tmpfs("/new", &[]),
            tmpfs("/secret", &["mode=0750", "ro"]),
            tmpfs("/other", &["ro", "rw"]),
        ]));
        settle(&mut spec, root.path()).unwrap();
        let options: Vec<_> =
            spec.mounts().iter().flatten().map(|mount| mount.options().clone().unwrap_or_default().join(",")).collect();
        assert_eq!(options, ["mode=1700,nosuid", "", "mode=0750,ro", "ro,rw"]);
        assert_eq!(ReadOnly::take(&mut spec).0, [PathBuf::from("/secret")]);
        assert_eq!(spec.mounts().as_ref().unwrap()[2].options().as_deref(), Some(&["mode=0750".to_owned()][..]));
    }
}
