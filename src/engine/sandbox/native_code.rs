//! Native code for a container's modules, as its annotations and the runtime's options want it.
//!
//! The cache is not in the container, so its processes are given a descriptor of the one file. It leads through a mount of
//! its own that cannot be written to: whoever gets hold of the descriptor, and is root, still changes nothing in the cache.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Seek},
    os::fd::AsRawFd,
    path::Path,
    str::FromStr,
};

use anyhow::{Context, Result, anyhow};
use wasmedge_shim_protocol::{Aot, AotPolicy, Location, Optimization};

use super::{mounts::detached::DetachedMount, waiting::while_compiling};
use crate::{
    aot::{self, InUse, Key, Layers, Store},
    files,
    guest::Native,
    wasm::Features,
};

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
        (&file).rewind()?;
        files::read(&file, files::MAX_MODULE)
    };
    let store = Store::new(location, u64::from(aot.cache_mib) << 20);
    let obtain = || aot::obtain(&store, aot, &key, &read);
    let obtained = if aot.policy == AotPolicy::Tiered { obtain() } else { while_compiling(obtain) };
    obtained.map_err(|cause| missing(&cause))
}

/// Native code that a process of a container can be given.
pub struct NativeCode {
    file: File,
    required: bool,
    /// The cache keeps what is in use.
    _in_use: InUse,
}

impl NativeCode {
    /// Of an entry of the cache; `None` where it cannot be used and need not be.
    ///
    /// # Errors
    /// Where it has to be used.
    pub fn new(entry: InUse, aot: &Aot) -> Result<Option<Self>> {
        let required = aot.policy == AotPolicy::Require;
        match read_only(&entry) {
            Ok(file) => Ok(Some(Self { file, required, _in_use: entry })),
            Err(error) if required => Err(missing(&format!("it cannot be mounted read-only: {error}"))),
            Err(error) => {
                log::warn!("a module is interpreted: its native code cannot be mounted read-only: {error}");
                Ok(None)
            }
        }
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
