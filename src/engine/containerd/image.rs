//! Images in containerd: which manifests an image has, and which of its layers are modules as they are.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::image::{Arch, Descriptor, ImageIndex, ImageManifest, MediaType, Os, Platform};

use super::client::Client;

/// Annotation of a layer with its file name (OCI image specification, annotations).
const TITLE: &str = "org.opencontainers.image.title";

/// Media types of Docker's that mean an index and a manifest.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The manifests that containerd has of the image `name`, those for this machine first.
///
/// # Errors
/// Where there is no such image, and where a document of it cannot be read.
pub fn manifests(client: &Client, name: &str) -> Result<Vec<ImageManifest>> {
    let target = client
        .image(name)?
        .with_context(|| format!("containerd has no such image in its namespace {}", client.namespace()))?;
    let gone = || format!("containerd does not have its manifest {}", target.digest());
    if !is(target.media_type(), &MediaType::ImageIndex, DOCKER_INDEX) {
        return Ok(vec![client.document(&target)?.with_context(gone)?]);
    }
    let index: ImageIndex = client.document(&target)?.with_context(gone)?;
    let mut entries: Vec<&Descriptor> = index
        .manifests()
        .iter()
        .filter(|entry| is(entry.media_type(), &MediaType::ImageManifest, DOCKER_MANIFEST))
        .collect();
    entries.sort_by_key(|entry| distance(entry.platform().as_ref()));
    // Of other platforms there often are the entries alone.
    entries.into_iter().filter_map(|entry| client.document(entry).transpose()).collect()
}

/// The layers that are WebAssembly and nothing else, which containerd does not unpack.
pub fn wasm_layers(manifest: &ImageManifest) -> Vec<&Descriptor> {
    manifest.layers().iter().filter(|layer| is_wasm(layer.media_type())).collect()
}

/// `application/wasm`, and all that is called so by its suffix (RFC 6838): `application/vnd.wasm.content.layer.v1+wasm`
/// of the CNCF's Wasm OCI artifacts, `application/vnd.bytecodealliance.wasm.component.layer.v0+wasm`, …
fn is_wasm(media_type: &MediaType) -> bool {
    let name = media_type.to_string();
    name == "application/wasm" || name.ends_with("+wasm")
}

/// A layer's file name: a path below the root directory.
pub fn title(layer: &Descriptor) -> Option<PathBuf> {
    let title = Path::new(layer.annotations().as_ref()?.get(TITLE)?);
    let title = title.strip_prefix("/").unwrap_or(title);
    let plain = title.components().all(|component| matches!(component, Component::Normal(_)));
    (plain && !title.as_os_str().is_empty()).then(|| title.to_owned())
}

fn is(media_type: &MediaType, oci: &MediaType, docker: &str) -> bool {
    media_type == oci || *media_type == MediaType::Other(docker.to_owned())
}

/// How little a platform is this machine's.
pub fn distance(platform: Option<&Platform>) -> u8 {
    let Some(platform) = platform else { return 2 };
    match (platform.os(), platform.architecture()) {
        (Os::Linux, arch) if *arch == Arch::default() => 0,
        (_, Arch::Wasm) => 1,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::image::{PlatformBuilder, Sha256Digest};

    fn layer(media_type: &str, title: Option<&str>) -> Descriptor {
        let digest: Sha256Digest = "0".repeat(64).parse().unwrap();
        let mut layer = Descriptor::new(MediaType::from(media_type), 1, digest);
        layer.set_annotations(title.map(|title| [(TITLE.to_owned(), title.to_owned())].into()));
        layer
    }

    #[test]
    fn wasm_layers_are_told_by_their_media_types() {
        for media_type in [
            "application/wasm",
            "application/vnd.wasm.content.layer.v1+wasm",
            "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
        ] {
            assert!(is_wasm(layer(media_type, None).media_type()), "{media_type}");
        }
        for media_type in [
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.wasm.config.v0+json",
            "application/vnd.in-toto+json",
        ] {
            assert!(!is_wasm(layer(media_type, None).media_type()), "{media_type}");
        }
    }

    #[test]
    fn a_title_is_a_path_that_stays_below_the_root() {
        let title_of = |text| title(&layer("application/wasm", Some(text)));
        assert_eq!(title_of("app.wasm"), Some("app.wasm".into()));
        assert_eq!(title_of("/bin/app.wasm"), Some("bin/app.wasm".into()));
        for text in ["", "/", "../app.wasm", "a/../../b", "."] {
            assert_eq!(title_of(text), None, "{text:?}");
        }
        assert_eq!(title(&layer("application/wasm", None)), None);
    }

    #[test]
    fn what_is_for_this_machine_comes_before_what_is_for_wasm() {
        let platform = |os: &str, arch: Arch| PlatformBuilder::default().os(os).architecture(arch).build().unwrap();
        let platforms = [
            Some(platform("linux", Arch::s390x)),
            None,
            Some(platform("wasip1", Arch::Wasm)),
            Some(platform("linux", Arch::default())),
        ];
        let distances: Vec<u8> = platforms.iter().map(|platform| distance(platform.as_ref())).collect();
        assert_eq!(distances, [3, 2, 1, 0]);
    }
}
