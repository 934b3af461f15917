//! Native code for a container's modules, as its annotations and the runtime's options want it.
//!
//! The dynamic linker wants a path, and the cache is not in the container. So the one file is mounted in the container's
//! `/dev`, where images have nothing, until the module is loaded; what is mapped then stays.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::{
    mount::{MntFlags, umount2},
    sys::statfs::{TMPFS_MAGIC, statfs},
};
use oci_spec::runtime::{MountBuilder, Spec};
use wasmedge_shim_protocol::{Aot, AotPolicy, ContainerKey, Location, Optimization, Pidfd};

use super::{mounts::detached::DetachedMount, namespaces, state::State};
use crate::{
    aot::{self, InUse, Key, Layers, Module, Store, Tenant},
    guest::Native,
    wasm::Features,
};

/// Where an init finds its native code.
const PLACE: &str = "/dev/.wasmedge-native";

/// Largest module that is compiled, in bytes; a larger one is not even read for it.
const LARGEST: u64 = 1 << 30;

/// containerd's namespace of Kubernetes.
const KUBERNETES: &str = "k8s.io";

/// Annotation of containerd's CRI plugin, which sets it itself: the pod's namespace.
const POD_NAMESPACE: &str = "io.kubernetes.cri.sandbox-namespace";

/// Annotation with a policy for one container.
pub const POLICY: &str = "io.wasmedge.aot";

/// Annotation with a level of optimization for one container.
pub const LEVEL: &str = "io.wasmedge.aot.level";

/// What is wanted for a container with these annotations.
///
/// # Errors
/// An annotation that is not understood, or asks for more than the options let containers have.
pub fn wanted(options: &Aot, annotations: Option<&HashMap<String, String>>) -> Result<Aot> {
    let mut aot = options.clone();
    let Some(annotations) = annotations else { return Ok(aot) };
    if let Some(policy) = annotated::<AotPolicy>(annotations, POLICY, AotPolicy::NAMES)? {
        // What is set for all may be more than a container may ask for; it may still ask for that.
        let most = options.most_policy.max(options.policy);
        ensure!(
            policy <= most,
            "annotation {POLICY}: \"{policy}\" is more than the runtime's option aot.most_policy allows, \"{most}\""
        );
        aot.policy = policy;
    }
    if let Some(level) = annotated::<Optimization>(annotations, LEVEL, Optimization::NAMES)? {
        let most = if options.level.work() > options.most_level.work() { options.level } else { options.most_level };
        ensure!(
            level.work() <= most.work(),
            "annotation {LEVEL}: \"{level}\" is more than the runtime's option aot.most_level allows, \"{most}\""
        );
        aot.level = level;
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

/// Whose container native code is for.
pub struct Asker<'a> {
    key: &'a ContainerKey,
    annotations: Option<&'a HashMap<String, String>>,
    is_init: bool,
}

impl<'a> Asker<'a> {
    /// For the init of the container `key` with these annotations, which is to be made.
    pub fn init(key: &'a ContainerKey, annotations: Option<&'a HashMap<String, String>>) -> Self {
        Self { key, annotations, is_init: true }
    }

    /// For another program in it.
    pub fn program(key: &'a ContainerKey, annotations: Option<&'a HashMap<String, String>>) -> Self {
        Self { key, annotations, is_init: false }
    }

    /// containerd's namespace; Kubernetes has all its pods in one, and says in an annotation of its own in which of the
    /// cluster's each is.
    fn tenant(&self) -> Tenant {
        let ContainerKey { namespace, .. } = self.key;
        let pod = self.annotations.filter(|_| namespace == KUBERNETES).and_then(|all| all.get(POD_NAMESPACE));
        match pod {
            Some(pod) => Tenant::new(&format!("{namespace}/{pod}")),
            None => Tenant::new(namespace),
        }
    }
}

/// Native code for the module in `file`, to be run with `features`, which may be of a root filesystem with these `layers`;
/// `None` where it is to be interpreted.
///
/// # Errors
/// Where it has to be native code and cannot be.
pub fn obtain(
    location: &Location,
    asker: &Asker<'_>,
    aot: &Aot,
    features: Features,
    mut file: File,
    layers: Option<&Layers>,
) -> Result<Option<InUse>> {
    if aot.policy == AotPolicy::Off {
        return Ok(None);
    }
    let size = file.metadata().context("cannot look at the module")?.len();
    if size > LARGEST {
        return refuse(aot, &format!("it is larger than {} MiB", LARGEST >> 20));
    }
    let key = Key::with_digest(aot::sha256(location, &mut file, layers).context("cannot read the module")?, features);
    let store = Store::new(location, u64::from(aot.cache_mib) << 20);
    let state = State::new(location, asker.key);
    // A container without a record is gone, one without an init is being made.
    let lasts = || state.load().map_or(Some(false), |record| record.init.map(|init| init.exists()));
    // A program's process is not in the container's record.
    let lasts = asker.is_init.then_some(&lasts as &dyn Fn() -> Option<bool>);
    let asker = aot::Asker { tenant: asker.tenant(), lasts };
    aot::obtain(&store, aot, &key, Module::File(&file), &asker).map_err(|cause| missing(&cause))
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

    fn annotated_with(name: &str, value: &str) -> HashMap<String, String> {
        HashMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn an_annotation_chooses_where_no_option_was_set() {
        let policy = |annotations: Option<&_>| wanted(&Aot::default(), annotations).map(|aot| aot.policy);
        assert_eq!(policy(None).unwrap(), AotPolicy::Tiered);
        assert_eq!(policy(Some(&annotated_with(POLICY, "off"))).unwrap(), AotPolicy::Off);
        assert_eq!(policy(Some(&annotated_with(POLICY, "require"))).unwrap(), AotPolicy::Require);
        assert_eq!(
            policy(Some(&annotated_with(POLICY, "on"))).unwrap_err().to_string(),
            "annotation io.wasmedge.aot: off, tiered, wait or require is expected, not \"on\""
        );
    }

    #[test]
    fn an_annotation_raises_nothing_above_the_options() {
        let off = Aot { policy: AotPolicy::Off, ..Aot::default() }.with_most(Some(AotPolicy::Off), None, None);
        for policy in ["tiered", "wait", "require"] {
            assert_eq!(
                wanted(&off, Some(&annotated_with(POLICY, policy))).unwrap_err().to_string(),
                format!(
                    "annotation io.wasmedge.aot: \"{policy}\" is more than the runtime's option aot.most_policy allows, \"off\""
                )
            );
        }
        assert_eq!(wanted(&off, Some(&annotated_with(POLICY, "off"))).unwrap().policy, AotPolicy::Off);
        let some = Aot { most_policy: AotPolicy::Wait, ..off };
        assert_eq!(wanted(&some, Some(&annotated_with(POLICY, "wait"))).unwrap().policy, AotPolicy::Wait);
        assert!(wanted(&some, Some(&annotated_with(POLICY, "require"))).is_err());
        assert_eq!(wanted(&some, None).unwrap().policy, AotPolicy::Off, "what they may is not what they do");
        let required = Aot { policy: AotPolicy::Require, most_policy: AotPolicy::Off, ..some };
        assert!(wanted(&required, Some(&annotated_with(POLICY, "require"))).is_ok());
        let level = |aot: &Aot, level| wanted(aot, Some(&annotated_with(LEVEL, level)));
        assert_eq!(
            level(&Aot::default(), "O3").unwrap_err().to_string(),
            "annotation io.wasmedge.aot.level: \"O3\" is more than the runtime's option aot.most_level allows, \"O2\""
        );
        for lower in ["O0", "O1", "O2", "Os", "Oz"] {
            assert!(level(&Aot::default(), lower).is_ok(), "{lower}");
        }
        assert!(level(&Aot { most_level: Optimization::O3, ..Aot::default() }, "O3").is_ok());
    }

    #[test]
    fn pods_of_kubernetes_are_told_apart_by_their_namespace_and_others_cannot_pretend() {
        let tenant = |namespace: &str, pod: Option<&str>| {
            let key = ContainerKey { namespace: namespace.to_owned(), id: "c".to_owned() };
            let annotations = pod.map(|pod| annotated_with(POD_NAMESPACE, pod));
            Asker::init(&key, annotations.as_ref()).tenant()
        };
        assert_eq!(tenant("k8s.io", Some("a")), tenant("k8s.io", Some("a")));
        assert_ne!(tenant("k8s.io", Some("a")), tenant("k8s.io", Some("b")));
        assert_eq!(tenant("default", Some("a")), tenant("default", None));
        assert_ne!(tenant("default", None), tenant("moby", None));
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
