//! Wasm OCI artifacts: modules that are layers of their image as they are. containerd unpacks no such layer, so they are
//! missing in the root filesystem. Only when the entrypoint is missing there is containerd asked for them; their files
//! in its content store are mounted then, read-only, where they are looked for.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use oci_spec::{
    image::{Descriptor, ImageManifest},
    runtime::{Mount, MountBuilder, Spec},
};
use pathrs::{InodeType, error::ErrorKind};
use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::{Create, Location};

use super::lookup::{self, Missing};
use crate::{
    aot,
    containerd::{self, Client},
    files::{self, Root},
    wasm::{Kind, classify},
};

/// Annotation by CRI with the image that was asked for. The container's own is whichever of the same configuration
/// containerd finds first.
const CRI_IMAGE: &str = "io.kubernetes.cri.image-name";

/// The modules of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Artifact {
    pub(super) image: String,
    pub(super) modules: Vec<Module>,
}

/// A layer that is a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Module {
    pub(super) digest: String,
    /// Its path below the root directory, if the image says one.
    pub(super) title: Option<PathBuf>,
    /// Where it is on the node.
    pub(super) file: PathBuf,
}

/// Adds mounts of the image's modules to `spec`, with the one that is `missing` where it is looked for; `false` where the
/// image has none for it. `root` is the root filesystem, `place` a directory of the container's state, for modules that are
/// in no file of the node.
///
/// # Errors
/// Names image, layer and cause. Where the image cannot be asked and the program is not called as modules are, there is
/// only a warning: it is just missing.
pub fn provide(
    location: &Location,
    request: &Create,
    spec: &mut Spec,
    root: &Root,
    place: &Path,
    missing: &Missing,
) -> Result<bool> {
    if request.containerd.as_os_str().is_empty() {
        return Ok(false);
    }
    let wanted = spec.annotations().as_ref().and_then(|annotations| annotations.get(CRI_IMAGE)).cloned();
    let found = containerd::apart(|| fetch(location, request, wanted.as_deref(), place));
    let artifact = match found {
        Ok(Some(artifact)) => artifact,
        Ok(None) => return Ok(false),
        Err(error) if missing.name.ends_with(".wasm") => {
            return Err(error.context(format!("exec: {:?}: no such file or directory", missing.name)));
        }
        Err(error) => {
            log::warn!("{}: {} is missing and may be in the image: {error:#}", request.key, missing.name);
            return Ok(false);
        }
    };
    let Some(main) = artifact.module_for(missing)? else { return Ok(false) };
    check_module(&artifact.image, main).with_context(|| format!("exec: {:?}", missing.name))?;
    let mut places = vec![(missing.path.clone(), &main.file)];
    for module in &artifact.modules {
        let Some(path) = module.title.as_ref().map(|title| Path::new("/").join(title)) else { continue };
        let there = lookup::open(spec, root, &path);
        if places.iter().all(|(taken, _)| *taken != path) && (there.is_err() || lookup::is_empty(there)) {
            places.push((path, &module.file));
        }
    }
    add_mounts(spec, root, &places)?;
    Ok(true)
}

fn add_mounts(spec: &mut Spec, root: &Root, places: &[(PathBuf, &PathBuf)]) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for (path, _) in places {
        let covered =
            mounts.iter().any(|mount| mount.destination() != Path::new("/") && path.starts_with(mount.destination()));
        if !covered {
            make_target(root, path)
                .with_context(|| format!("cannot make {} in the root filesystem", path.display()))?;
        }
    }
    mounts.extend(places.iter().map(|(path, file)| mount(path, file)).collect::<Result<Vec<_>>>()?);
    spec.set_mounts(Some(mounts));
    Ok(())
}

impl Artifact {
    /// Which module a missing program is; `None` where it cannot be meant.
    pub(super) fn module_for(&self, missing: &Missing) -> Result<Option<&Module>> {
        let below_root = missing.path.strip_prefix("/").unwrap_or(&missing.path);
        let named = |matches: &dyn Fn(&Path) -> bool| -> Vec<&Module> {
            self.modules.iter().filter(|module| module.title.as_deref().is_some_and(matches)).collect()
        };
        let by_path = named(&|title| title == below_root);
        let by_name = named(&|title| title.file_name() == missing.path.file_name());
        match (by_path.as_slice(), by_name.as_slice(), self.modules.as_slice()) {
            ([module, ..], ..) | ([], [module], _) => Ok(Some(module)),
            // Called as its author likes, where there is no choice.
            (_, [], [module]) if missing.name.ends_with(".wasm") => Ok(Some(module)),
            _ if !missing.name.ends_with(".wasm") => Ok(None),
            _ => {
                let titles: Vec<_> = self.modules.iter().filter_map(|module| module.title.as_ref()).collect();
                bail!(
                    "exec: {:?}: no such file or directory: image {} has {} modules, and not one of this name, but {titles:?}",
                    missing.name,
                    self.image,
                    self.modules.len(),
                )
            }
        }
    }
}

/// The modules of a container's image; `None` where it has none. Runs in a process of its own.
fn fetch(location: &Location, request: &Create, wanted: Option<&str>, place: &Path) -> Result<Option<Artifact>> {
    let client = Client::connect(&request.containerd, &request.key.namespace)?;
    let wanted = match wanted {
        Some(name) if client.image(name)?.is_some() => Some(name.to_owned()),
        _ => client.image_of(&request.key.id)?,
    };
    let Some(image) = wanted else { return Ok(None) };
    let context = || format!("image {image}");
    let manifests = containerd::manifests(&client, &image).with_context(context)?;
    let layers = |manifest: &ImageManifest| -> Vec<Descriptor> {
        containerd::wasm_layers(manifest).into_iter().cloned().collect()
    };
    let Some(layers) = manifests.iter().map(layers).find(|layers| !layers.is_empty()) else { return Ok(None) };
    let root = client.content_root().with_context(context)?;
    let modules = layers.iter().map(|layer| {
        let file = obtain(&client, layer, root.as_deref(), location, place);
        let file = file.with_context(|| format!("image {image}: layer {}", layer.digest()))?;
        Ok(Module { digest: layer.digest().to_string(), title: containerd::title(layer), file })
    });
    Ok(Some(Artifact { modules: modules.collect::<Result<_>>()?, image }))
}

/// A file with the content of `layer`, which has been checked: the content store's own if it is on this node.
fn obtain(
    client: &Client,
    layer: &Descriptor,
    root: Option<&Path>,
    location: &Location,
    place: &Path,
) -> Result<PathBuf> {
    let digits = containerd::sha256_of(layer)?;
    if let Some(stored) = root.map(|root| root.join("blobs/sha256").join(digits))
        && let Ok(mut file) = files::open_on_node(&stored)
    {
        let meta = file.metadata()?;
        if meta.uid() == 0 && meta.mode() & 0o022 == 0 {
            containerd::check(layer, &aot::sha256(location, &mut file, None)?)?;
            return Ok(stored);
        }
    }
    let copy = place.join(format!("module-{digits}"));
    let mut file = File::options().write(true).create_new(true).mode(0o444).open(&copy)?;
    match client.read(layer, &mut file) {
        Ok(true) => Ok(copy),
        Ok(false) => bail!("containerd does not have it"),
        Err(error) => Err(error),
    }
}

fn check_module(image: &str, module: &Module) -> Result<()> {
    let mut head = [0; 8];
    let read =
        files::open_on_node(&module.file).and_then(|file| std::os::unix::fs::FileExt::read_at(&file, &mut head, 0));
    let read = read.with_context(|| format!("cannot read {}", module.file.display()))?;
    let what = match classify(&head[..read]) {
        Kind::Module => return Ok(()),
        Kind::Component => "is a WebAssembly component; only modules (wasm32-wasip1) can be run",
        Kind::UnknownVersion(_) | Kind::Other => "is not a WebAssembly module",
    };
    bail!("layer {} of image {image} {what}", module.digest)
}

/// Makes an empty file to mount on. From within, the container's root may not be allowed to, in a user namespace.
fn make_target(root: &Root, path: &Path) -> Result<()> {
    let root = pathrs::Root::from_fd(root.directory().try_clone()?);
    if let Some(parent) = path.parent() {
        root.mkdir_all(parent, &Permissions::from_mode(0o755))?;
    }
    match root.create(path, &InodeType::File(Permissions::from_mode(0o444))) {
        Err(error) if error.kind() != ErrorKind::OsError(Some(libc::EEXIST)) => Err(error.into()),
        _ => Ok(()),
    }
}

fn mount(path: &Path, file: &Path) -> Result<Mount> {
    let options = ["bind", "ro", "nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    let source = fs::canonicalize(file).with_context(|| format!("cannot use {}", file.display()))?;
    Ok(MountBuilder::default().destination(path).typ("bind").source(source).options(options).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(titles: &[Option<&str>]) -> Artifact {
        let module = |(number, title): (usize, &Option<&str>)| Module {
            digest: format!("sha256:{number}"),
            title: title.map(PathBuf::from),
            file: PathBuf::new(),
        };
        Artifact { image: "i".into(), modules: titles.iter().enumerate().map(module).collect() }
    }

    fn chosen(titles: &[Option<&str>], name: &str) -> Result<Option<String>> {
        let missing = Missing { name: name.into(), path: Path::new("/").join(name) };
        artifact(titles).module_for(&missing).map(|module| module.map(|module| module.digest.clone()))
    }

    #[test]
    fn the_only_module_is_meant_by_any_name_of_a_module() {
        let only = Some("sha256:0".to_owned());
        assert_eq!(chosen(&[None], "/any.wasm").unwrap(), only);
        assert_eq!(chosen(&[Some("app.wasm")], "/bin/app.wasm").unwrap(), only);
        assert_eq!(chosen(&[Some("app")], "/app").unwrap(), only);
        assert_eq!(chosen(&[None], "/bin/sh").unwrap(), None);
    }

    #[test]
    fn of_several_modules_titles_tell_which_is_meant() {
        let titles = [Some("a.wasm"), Some("x/b.wasm"), Some("y/b.wasm"), None];
        assert_eq!(chosen(&titles, "/a.wasm").unwrap().unwrap(), "sha256:0");
        assert_eq!(chosen(&titles, "/bin/a.wasm").unwrap().unwrap(), "sha256:0");
        assert_eq!(chosen(&titles, "/y/b.wasm").unwrap().unwrap(), "sha256:2");
        assert_eq!(chosen(&titles, "/sh").unwrap(), None);
        for name in ["/b.wasm", "/c.wasm"] {
            let error = chosen(&titles, name).unwrap_err().to_string();
            assert!(error.contains("image i has 4 modules") && error.contains("a.wasm"), "{error}");
        }
    }

    #[test]
    fn a_layer_that_is_no_module_is_named_with_its_image() {
        let directory = tempfile::tempdir().unwrap();
        let check = |bytes: &[u8]| {
            let file = directory.path().join("layer");
            fs::write(&file, bytes).unwrap();
            check_module("i", &Module { digest: "sha256:1".into(), title: None, file }).map_err(|e| e.to_string())
        };
        check(b"\0asm\x01\0\0\0").unwrap();
        assert_eq!(check(b"garbage").unwrap_err(), "layer sha256:1 of image i is not a WebAssembly module");
        assert!(check(b"\0asm\x0d\0\x01\0").unwrap_err().contains("of image i is a WebAssembly component"));
    }
}
