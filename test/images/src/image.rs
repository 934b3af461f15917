//! One image and the archive it is shipped in: an OCI image layout, with a `manifest.json` beside it for Docker.
//! `docker load` with the classic stores reads the latter, `ctr images import` and Docker's containerd store the
//! former. Both point to the same blobs.
//!
//! The crate oci-tar-builder writes such archives too, but two maps of random order make each of its archives differ.

use anyhow::{Context, Result};
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, ImageConfigurationBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, Os,
    Platform, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION, Sha256Digest,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::Header;

use crate::layer::Layer;

/// A layer's file name, as `oras` and others write it.
const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";

/// containerd names an imported image by this annotation of the index's entry.
const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// What a container of the image does unless told otherwise; empty fields stay out of the image's configuration.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    pub entrypoint: Vec<&'static str>,
    pub cmd: Vec<&'static str>,
    pub env: Vec<&'static str>,
    pub working_dir: &'static str,
    pub labels: Vec<(&'static str, &'static str)>,
}

/// A layer that is a module, or is said to be one.
#[derive(Clone, Debug)]
pub struct Module {
    pub media_type: &'static str,
    pub title: Option<&'static str>,
    pub bytes: Vec<u8>,
}

/// Something in an archive, and what its descriptor says of it.
#[derive(Clone, Debug)]
struct Blob {
    media_type: MediaType,
    title: Option<&'static str>,
    bytes: Vec<u8>,
}

/// An image, complete but for its archive.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    platform: Option<Platform>,
    config: Blob,
    layers: Vec<Blob>,
    /// Whether Docker's classic stores get a manifest; they know nothing but root file systems.
    docker: bool,
}

impl Image {
    /// A root file system for `os`/`arch`, named `localhost/NAME`, with the tag `latest` if it names none.
    pub fn rootfs(name: &str, os: Os, arch: Arch, layers: &[Layer], defaults: Defaults) -> Result<Self> {
        let layers = layers.iter().map(Layer::tar).collect::<Result<Vec<_>, _>>().context("writing a layer")?;
        let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let some = |words: Vec<&str>| words.into_iter().map(String::from).collect::<Vec<_>>();
        let mut config = ConfigBuilder::default().env(some(defaults.env));
        if !defaults.entrypoint.is_empty() {
            config = config.entrypoint(some(defaults.entrypoint));
        }
        if !defaults.cmd.is_empty() {
            config = config.cmd(some(defaults.cmd));
        }
        if !defaults.working_dir.is_empty() {
            config = config.working_dir(defaults.working_dir);
        }
        if !defaults.labels.is_empty() {
            let labels = defaults.labels.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
            config = config.labels(labels.collect::<std::collections::HashMap<_, _>>());
        }
        let configuration = ImageConfigurationBuilder::default()
            .created("1970-01-01T00:00:00Z")
            .os(os.clone())
            .architecture(arch.clone())
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
            .config(config.build()?)
            .build()?;
        Ok(Self {
            name: full_name(name),
            platform: Some(PlatformBuilder::default().os(os).architecture(arch).build()?),
            config: Blob::new(MediaType::ImageConfig, sorted_json(&configuration)?),
            layers: layers.into_iter().map(|layer| Blob::new(MediaType::ImageLayer, layer)).collect(),
            docker: true,
        })
    }

    /// An image of which `modules` are further layers, which nobody unpacks: a Wasm OCI artifact with an ordinary
    /// configuration.
    pub fn with_modules(name: &str, layers: &[Layer], modules: Vec<Module>, defaults: Defaults) -> Result<Self> {
        let mut image = Self::rootfs(name, Os::Linux, Arch::Amd64, layers, defaults)?;
        image.layers.extend(modules.into_iter().map(Blob::from));
        image.docker = false;
        Ok(image)
    }

    /// A Wasm OCI artifact as the CNCF's guide describes it: the module is the only layer, the configuration is that of
    /// such artifacts.
    pub fn artifact(name: &str, module: Module) -> Result<Self> {
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": "wasm",
            "os": "wasip1",
            "layerDigests": [digest(&module.bytes)],
        });
        Ok(Self {
            name: full_name(name),
            // As what writes artifacts leaves it; with the platform, `ctr images import` leaves the image out.
            platform: None,
            config: Blob::new(MediaType::Other("application/vnd.wasm.config.v0+json".into()), sorted_json(&config)?),
            layers: vec![module.into()],
            docker: false,
        })
    }

    /// The image's whole name, `localhost/NAME:TAG`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive, byte for byte the same for the same image.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(descriptor(&self.config)?)
            .layers(self.layers.iter().map(descriptor).collect::<Result<Vec<_>>>()?)
            .build()?;
        let manifest = Blob::new(MediaType::ImageManifest, sorted_json(&manifest)?);
        let mut entry = descriptor(&manifest)?;
        entry.set_platform(self.platform.clone());
        entry.set_annotations(Some([(NAME_ANNOTATION.to_owned(), self.name.clone())].into()));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![entry])
            .build()?;

        let mut files: Vec<(String, &[u8])> = Vec::new();
        for Blob { bytes, .. } in self.layers.iter().chain([&self.config, &manifest]) {
            files.push((blob_path(bytes), bytes));
        }
        files.sort();
        files.dedup();
        let (index, docker) = (sorted_json(&index)?, sorted_json(&self.docker_manifest())?);
        files.push(("index.json".into(), &index));
        if self.docker {
            files.push(("manifest.json".into(), &docker));
        }
        files.push(("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#));
        write(&files).with_context(|| format!("writing the archive of {}", self.name))
    }

    fn docker_manifest(&self) -> Value {
        let layers: Vec<_> = self.layers.iter().map(|layer| blob_path(&layer.bytes)).collect();
        json!([{ "Config": blob_path(&self.config.bytes), "RepoTags": [self.name], "Layers": layers }])
    }
}

impl Blob {
    fn new(media_type: MediaType, bytes: Vec<u8>) -> Self {
        Self { media_type, title: None, bytes }
    }
}

impl From<Module> for Blob {
    fn from(module: Module) -> Self {
        Self { media_type: MediaType::Other(module.media_type.to_owned()), title: module.title, bytes: module.bytes }
    }
}

fn full_name(name: &str) -> String {
    let tag = if name.contains(':') { "" } else { ":latest" };
    format!("localhost/{name}{tag}")
}

/// The digest as OCI writes it, `sha256:…`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", hex(bytes))
}

fn descriptor(blob: &Blob) -> Result<Descriptor> {
    let digest = hex(&blob.bytes).parse::<Sha256Digest>()?;
    let mut descriptor = Descriptor::new(blob.media_type.clone(), blob.bytes.len() as u64, digest);
    descriptor.set_annotations(blob.title.map(|title| [(TITLE_ANNOTATION.to_owned(), title.to_owned())].into()));
    Ok(descriptor)
}

/// JSON whose object keys are sorted: the crates' maps have a random order.
fn sorted_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}

fn write(files: &[(String, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, *bytes)?;
    }
    Ok(archive.into_inner()?)
}
