//! Native code for a container's modules, as the runtime's options and what is asked for it want it.
//!
//! The cache is not in the container, so its processes are given a descriptor of the one file. It leads through a mount of
//! its own that cannot be written to: whoever gets hold of the descriptor, and is root, still changes nothing in the cache.

use std::{collections::HashMap, fs::File, io, os::fd::AsRawFd, path::Path, str::FromStr};

use anyhow::{Context, Result, anyhow, ensure};
use wasmedge_shim_protocol::{Aot, AotPolicy, ContainerKey, Location, Optimization};

use super::{
    annotations::{Ask, Asked, LEVEL, POLICY},
    mounts::detached::DetachedMount,
    state::State,
};
use crate::{
    aot::{self, InUse, Key, Layers, Module, Store, Tenant},
    files,
    guest::Native,
    wasm::{Features, Limits},
};

/// containerd's namespace of Kubernetes.
pub const KUBERNETES: &str = "k8s.io";

/// Annotation of containerd's CRI plugin, which sets it itself: the pod's namespace.
const POD_NAMESPACE: &str = "io.kubernetes.cri.sandbox-namespace";

/// What is wanted for a container that asks for this.
///
/// # Errors
/// What is asked for is not understood, or more than the options let containers have.
pub fn wanted(options: &Aot, asked: &Asked) -> Result<Aot> {
    let mut aot = options.clone();
    if let Some((ask, policy)) = parsed::<AotPolicy>(asked.get(POLICY), AotPolicy::NAMES)? {
        // What is set for all may be more than a container may ask for; it may still ask for that.
        let most = options.most_policy.max(options.policy);
        ensure!(
            policy <= most,
            "{ask}: \"{policy}\" is more than the runtime's option aot.most_policy allows, \"{most}\""
        );
        aot.policy = policy;
    }
    if let Some((ask, level)) = parsed::<Optimization>(asked.get(LEVEL), Optimization::NAMES)? {
        let most = if options.level.work() > options.most_level.work() { options.level } else { options.most_level };
        ensure!(
            level.work() <= most.work(),
            "{ask}: \"{level}\" is more than the runtime's option aot.most_level allows, \"{most}\""
        );
        aot.level = level;
    }
    Ok(aot)
}

fn parsed<'a, T: FromStr>(ask: Option<Ask<'a>>, expected: &str) -> Result<Option<(Ask<'a>, T)>> {
    let Some(ask) = ask else { return Ok(None) };
    match ask.text.parse() {
        Ok(parsed) => Ok(Some((ask, parsed))),
        Err(_) => Err(anyhow!("{ask}: {expected} is expected, not \"{}\"", ask.text)),
    }
}

/// Whose container native code is for.
pub struct Asker<'a> {
    key: &'a ContainerKey,
    annotations: Option<&'a HashMap<String, String>>,
    /// Bytes of memory that the container's limit leaves its module.
    room: u64,
    is_init: bool,
}

impl<'a> Asker<'a> {
    /// For the init of the container `key` with these annotations and limits, which is to be made.
    pub fn init(key: &'a ContainerKey, annotations: Option<&'a HashMap<String, String>>, limits: &Limits) -> Self {
        Self { key, annotations, room: limits.room(), is_init: true }
    }

    /// For another program in it.
    pub fn program(key: &'a ContainerKey, annotations: Option<&'a HashMap<String, String>>, limits: &Limits) -> Self {
        Self { is_init: false, ..Self::init(key, annotations, limits) }
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
    if size > files::MAX_MODULE {
        return refuse(aot, &format!("it is larger than {} MiB", files::MAX_MODULE >> 20));
    }
    let key = Key::with_digest(aot::sha256(location, &mut file, layers).context("cannot read the module")?, features);
    let store = Store::new(location, u64::from(aot.cache_mib) << 20);
    let state = State::new(location, asker.key);
    // A container without a record is gone, one without an init is being made; of one that is not understood nothing is known.
    let lasts = || match state.record() {
        Ok(record) => record.map_or(Some(false), |record| record.init.map(|init| init.exists())),
        Err(_) => Some(false),
    };
    // A program's process is not in the container's record.
    let lasts = asker.is_init.then_some(&lasts as &dyn Fn() -> Option<bool>);
    let asker = aot::Asker { tenant: asker.tenant(), lasts, room: asker.room };
    aot::obtain(&store, aot, &key, Module::File(&file), &asker).map_err(|cause| missing(&cause))
}

fn refuse<T>(aot: &Aot, cause: &str) -> Result<Option<T>> {
    if aot.policy == AotPolicy::Require {
        return Err(missing(cause));
    }
    log::warn!("a module is interpreted: {cause}");
    Ok(None)
}

/// Native code that a process of a container can be given.
pub struct NativeCode {
    file: File,
    required: bool,
    /// The cache keeps what is in use.
    in_use: InUse,
}

impl NativeCode {
    /// Of an entry of the cache; `None` where it cannot be used and need not be.
    ///
    /// # Errors
    /// Where it has to be used.
    pub fn new(entry: InUse, aot: &Aot) -> Result<Option<Self>> {
        let required = aot.policy == AotPolicy::Require;
        match read_only(&entry) {
            Ok(file) => Ok(Some(Self { file, required, in_use: entry })),
            Err(error) => refuse(aot, &format!("its native code cannot be mounted read-only: {error}")),
        }
    }

    /// How much it is optimized.
    pub fn level(&self) -> Optimization {
        self.in_use.level
    }

    /// What the process is told.
    pub fn for_process(&self) -> Native {
        Native { file: self.file.as_raw_fd(), required: self.required }
    }
}

/// The same file, through a mount that is at no place.
fn read_only(file: &File) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mount = DetachedMount::copy(Path::new(&path), false)?;
    mount.make_read_only()?;
    mount.open()
}

fn missing(cause: &str) -> anyhow::Error {
    anyhow!("the module has no native code, which is required: {cause}")
}

#[cfg(test)]
mod tests {
    use super::{
        super::annotations::{Author, Setting},
        *,
    };

    fn asked(setting: Setting, text: &str) -> Asked {
        Asked::one(Author::Pod, setting, text).unwrap()
    }

    #[test]
    fn an_annotation_chooses_where_no_option_was_set() {
        let policy = |asked: &Asked| wanted(&Aot::default(), asked).map(|aot| aot.policy);
        assert_eq!(policy(&Asked::default()).unwrap(), AotPolicy::Tiered);
        assert_eq!(policy(&asked(POLICY, "off")).unwrap(), AotPolicy::Off);
        assert_eq!(policy(&asked(POLICY, "require")).unwrap(), AotPolicy::Require);
        assert_eq!(
            policy(&asked(POLICY, "on")).unwrap_err().to_string(),
            "annotation io.wasmedge.aot: off, tiered, wait or require is expected, not \"on\""
        );
    }

    #[test]
    fn an_annotation_raises_nothing_above_the_options() {
        let off = Aot { policy: AotPolicy::Off, ..Aot::default() }.with_most(Some(AotPolicy::Off), None, None);
        for policy in ["tiered", "wait", "require"] {
            assert_eq!(
                wanted(&off, &asked(POLICY, policy)).unwrap_err().to_string(),
                format!(
                    "annotation io.wasmedge.aot: \"{policy}\" is more than the runtime's option aot.most_policy allows, \"off\""
                )
            );
        }
        assert_eq!(wanted(&off, &asked(POLICY, "off")).unwrap().policy, AotPolicy::Off);
        let some = Aot { most_policy: AotPolicy::Wait, ..off };
        assert_eq!(wanted(&some, &asked(POLICY, "wait")).unwrap().policy, AotPolicy::Wait);
        assert!(wanted(&some, &asked(POLICY, "require")).is_err());
        assert_eq!(
            wanted(&some, &Asked::default()).unwrap().policy,
            AotPolicy::Off,
            "what they may is not what they do"
        );
        let required = Aot { policy: AotPolicy::Require, most_policy: AotPolicy::Off, ..some };
        assert!(wanted(&required, &asked(POLICY, "require")).is_ok());
        let level = |aot: &Aot, level| wanted(aot, &asked(LEVEL, level));
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
            let annotations = pod.map(|pod| HashMap::from([(POD_NAMESPACE.to_owned(), pod.to_owned())]));
            Asker::init(&key, annotations.as_ref(), &Limits::default()).tenant()
        };
        assert_eq!(tenant("k8s.io", Some("a")), tenant("k8s.io", Some("a")));
        assert_ne!(tenant("k8s.io", Some("a")), tenant("k8s.io", Some("b")));
        assert_eq!(tenant("default", Some("a")), tenant("default", None));
        assert_ne!(tenant("default", None), tenant("moby", None));
    }

    #[test]
    fn the_level_is_annotated_apart_from_the_policy() {
        let options = Aot { policy: AotPolicy::Wait, ..Aot::default() };
        let aot = wanted(&options, &asked(LEVEL, "O0")).unwrap();
        assert_eq!((aot.policy, aot.level), (AotPolicy::Wait, Optimization::O0));
        assert_eq!(wanted(&options, &Asked::default()).unwrap().level, Optimization::O2);
        assert_eq!(
            wanted(&options, &asked(LEVEL, "4")).unwrap_err().to_string(),
            "annotation io.wasmedge.aot.level: O0, O1, O2, O3, Os or Oz is expected, not \"4\""
        );
    }
}
