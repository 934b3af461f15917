//! Native code for a container's modules, as its annotations and the runtime's options want it.
//!
//! The dynamic linker wants a path, and the cache is not in the container. So the one file is mounted in the container's
//! `/dev`, where images have nothing, until the module is loaded; what is mapped then stays.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    mount::{MntFlags, umount2},
    sys::statfs::{TMPFS_MAGIC, statfs},
};
use oci_spec::runtime::{MountBuilder, Spec};
use wasmedge_shim_protocol::{Aot, AotPolicy, Location, Optimization, Pidfd};

use super::{mounts::detached::DetachedMount, namespaces, waiting::while_compiling};
use crate::{
    aot::{self, InUse, Key, Layers, Store},
    guest::Native,
    wasm::Features,
};

/// Where an init finds its native code.
const PLACE: &str = "/dev/.wasmedge-native";

/// Annotation with a policy for one container.
pub const POLICY: &str = "io.wasmedge.aot";

/// Annotation with a level of optimization for one container.
pub const LEVEL: &str = "io.wasmedge.aot.level";

/// What is wanted for a container with these annotations.
///
/// # Errors
/// An annotation that is not understood.
pub fn wanted(options: &Aot, annotations: Option<&HashMap<String, String>>) -> Result<Aot> {
    let mut aot = options.clone();
    if let Some(annotations) = annotations {
        aot.policy = annotated(annotations, POLICY, AotPolicy::NAMES)?.unwrap_or(aot.policy);
        aot.level = annotated(annotations, LEVEL, Optimization::NAMES)?.unwrap_or(aot.level);
    }
    Ok(aot)
}

fn annotated<T: FromStr>(annotations: &HashMap<String, String>, name: &str, expected: &str) -> Result<Option<T>> {
    let Some(value) = annotations.get(name) else { return Ok(None) };
    match value.parse() {
        Ok(parsed) => Ok(Some(parsed)),
        Err(_) => Err(anyhow!("annotation {name}: {expected} is expected, not \"{value}\"")),
    }
}

/// Native code for the module in `file`, to be run with `features`, which may be of a root filesystem with these `layers`;
/// `None` where it is to be interpreted.
///
/// # Errors
/// Where it has to be native code and cannot be.
pub fn obtain(
    location: &Location,
    aot: &Aot,
    features: Features,
    mut file: File,
    layers: Option<&Layers>,
) -> Result<Option<InUse>> {
    if aot.policy == AotPolicy::Off {
        return Ok(None);
    }
    let key = Key::with_digest(aot::sha256(location, &mut file, layers).context("cannot read the module")?, features);
    let read = || {
        let (mut file, mut module) = (&file, Vec::new());
        file.rewind()?;
        file.read_to_end(&mut module)?;
        Ok(module)
    };
    let store = Store::new(location, u64::from(aot.cache_mib) << 20);
    let obtain = || aot::obtain(&store, aot, &key, &read);
    let obtained = if aot.policy == AotPolicy::Tiered { obtain() } else { while_compiling(obtain) };
    obtained.map_err(|cause| missing(&cause))
}

/// Lets the container that is made from `spec` have the native code `file`, which must live until it is made. Where it has no `/dev` of
/// its own, it has no native code either.
///
/// # Errors
/// Where it must have some.
pub fn show(spec: &mut Spec, file: &File, aot: &Aot) -> Result<Option<Native>> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    let own = mounts.iter().any(|one| one.destination() == Path::new("/dev") && one.typ().as_deref() == Some("tmpfs"));
    if !own {
        return refuse(aot, "the container has no /dev of its own");
    }
    if file.metadata().context("cannot look at the native code")?.nlink() == 0 {
        return refuse(aot, "its native code was removed at this moment");
    }
    // Its name in the cache: libcontainer looks the source up from another process.
    let source = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).context("cannot name the native code")?;
    let options = ["bind", "ro", "nosuid", "nodev"].map(str::to_owned).to_vec();
    let mount = MountBuilder::default().destination(PLACE).typ("bind").source(source).options(options).build()?;
    mounts.push(mount);
    spec.set_mounts(Some(mounts));
    Ok(Some(native(PathBuf::from(PLACE), aot)))
}

/// Takes it away from the container with the init `pid`, which has loaded it. This process ends up in the container's mount
/// namespace.
pub fn hide(pid: i32) -> Result<()> {
    let pidfd = Pidfd::open(pid).context("the container's init has ended")?;
    namespaces::enter_mounts(&pidfd)?;
    take_away(Path::new(PLACE)).context("cannot take the native code's mount away")
}

fn take_away(place: &Path) -> io::Result<()> {
    umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    fs::remove_file(place)
}

fn native(path: PathBuf, aot: &Aot) -> Native {
    Native { path, required: aot.policy == AotPolicy::Require }
}

fn refuse<T>(aot: &Aot, cause: &str) -> Result<Option<T>> {
    if aot.policy == AotPolicy::Require {
        return Err(missing(cause));
    }
    log::warn!("a module is interpreted: {cause}");
    Ok(None)
}

fn missing(cause: &str) -> anyhow::Error {
    anyhow!("the module has no native code, which is required: {cause}")
}

/// Native code for a program in a container that runs already.
pub struct Detached {
    mount: DetachedMount,
    aot: Aot,
}

impl Detached {
    /// A mount of `file` that is nowhere yet. To be called where the node's `/proc` is.
    pub fn new(file: &File, aot: &Aot) -> Result<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let mount = DetachedMount::copy(Path::new(&path), false)
            .and_then(|mount| mount.make_read_only().map(|()| mount))
            .context("cannot mount the native code")?;
        Ok(Self { mount, aot: aot.clone() })
    }

    /// Mounts it in the container that this process has entered, until the result is dropped.
    ///
    /// # Errors
    /// As those of [`show`].
    pub fn show(self) -> Result<Option<Shown>> {
        if !statfs("/dev").is_ok_and(|dev| dev.filesystem_type() == TMPFS_MAGIC) {
            return refuse(&self.aot, "the container has no /dev of its own");
        }
        let path = PathBuf::from(format!("{PLACE}-{}", std::process::id()));
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        if let Err(error) = made.map(drop).and_then(|()| self.mount.attach(&path)) {
            // It may not have been made.
            let _ = fs::remove_file(&path);
            return refuse(&self.aot, &format!("cannot mount it on {}: {error}", path.display()));
        }
        Ok(Some(Shown { native: native(path, &self.aot) }))
    }
}

/// Native code in the container that this process is in.
pub struct Shown {
    /// What the program is told.
    pub native: Native,
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Err(error) = take_away(&self.native.path) {
            log::warn!("cannot take {} away: {error}", self.native.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_overrides_the_options() {
        let annotated = |policy: &str| HashMap::from([(POLICY.to_owned(), policy.to_owned())]);
        let policy = |annotations: Option<&_>| wanted(&Aot::default(), annotations).map(|aot| aot.policy);
        assert_eq!(policy(None).unwrap(), AotPolicy::Tiered);
        assert_eq!(policy(Some(&annotated("off"))).unwrap(), AotPolicy::Off);
        assert_eq!(
            policy(Some(&annotated("on"))).unwrap_err().to_string(),
            "annotation io.wasmedge.aot: off, tiered, wait or require is expected, not \"on\""
        );
    }

    #[test]
    fn the_level_is_annotated_apart_from_the_policy() {
        let annotated = |level: &str| HashMap::from([(LEVEL.to_owned(), level.to_owned())]);
        let options = Aot { policy: AotPolicy::Wait, ..Aot::default() };
        let aot = wanted(&options, Some(&annotated("O0"))).unwrap();
        assert_eq!((aot.policy, aot.level), (AotPolicy::Wait, Optimization::O0));
        assert_eq!(wanted(&options, Some(&HashMap::new())).unwrap().level, Optimization::O2);
        assert_eq!(
            wanted(&options, Some(&annotated("4"))).unwrap_err().to_string(),
            "annotation io.wasmedge.aot.level: O0, O1, O2, O3, Os or Oz is expected, not \"4\""
        );
    }
}
