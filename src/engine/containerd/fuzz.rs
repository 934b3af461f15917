//! For fuzzing: documents of images, records of containers.

use std::path::Component;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};

use super::{client, cri, image, snapshot};

/// Whatever a manifest, an index or a configuration says: a layer's file is named by its digest alone, and its title is a
/// path below the root directory.
pub fn manifests(data: &[u8]) {
    if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(data) {
        for layer in image::wasm_layers(&manifest) {
            if let Ok(digits) = client::sha256_of(layer) {
                let plain = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(plain, "a digest of {digits:?}");
            }
            if let Some(title) = image::title(layer) {
                let below = title.components().all(|component| matches!(component, Component::Normal(_)));
                assert!(below && !title.as_os_str().is_empty(), "a title of {title:?}");
            }
        }
    }
    if let Ok(index) = serde_json::from_slice::<ImageIndex>(data) {
        for entry in index.manifests() {
            image::distance(entry.platform().as_ref());
        }
    }
    if let Ok(config) = serde_json::from_slice::<ImageConfiguration>(data) {
        let layers = config.rootfs().diff_ids();
        let name = snapshot::chain_id(layers);
        assert!(layers.len() < 2 || name.len() == "sha256:".len() + 64, "{name}");
    }
}

/// The records of a container and of its pod's sandbox, with an empty line between them: whatever is in them, what is told are
/// names with the prefix.
pub fn cri_records(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (container, pod) = text.split_once("\n\n").unwrap_or((&text, ""));
    if let Ok(said) = cri::read_values(container.as_bytes(), pod.as_bytes(), "io.wasmedge.") {
        let names = said.container.keys().chain(said.pod.keys()).chain(said.image.keys());
        assert!(names.into_iter().all(|name| name.starts_with("io.wasmedge.")), "{said:?}");
    }
}
