//! For fuzzing: documents of images.

use std::path::Component;

use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};

use super::{client, image, snapshot};

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
