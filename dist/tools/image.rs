//! The image that installs the runtime on nodes of Kubernetes: from scratch, with all that it needs.

use anyhow::{Result, bail};
use oci_spec::image::{Arch, Os};
use test_images::{
    image::{Defaults, Image},
    layer::Layer,
};

/// The image's name, with its version as the tag.
const NAME: &str = concat!("containerd-shim-wasmedge-v1-installer:", env!("CARGO_PKG_VERSION"));

/// What `helm test` runs.
const VERIFICATION: &str = include_str!("verification.wat");

/// What is in the image.
pub struct Files {
    /// The one file.
    pub shim: Vec<u8>,
    /// The program that talks to the API server.
    pub kubernetes: Vec<u8>,
    /// The licences of the one file.
    pub licences: Vec<u8>,
}

/// The image for an architecture as an archive: an OCI image layout that `docker load` takes, too. The same files make the
/// same archive, byte for byte.
///
/// # Errors
/// There is no such architecture here.
pub fn archive(arch: &str, files: Files, kubernetes_licences: String) -> Result<Vec<u8>> {
    let arch = match arch {
        "amd64" => Arch::Amd64,
        "arm64" => Arch::ARM64,
        other => bail!("there is no image for {other}"),
    };
    let mut layer = Layer::default();
    layer
        .file("containerd-shim-wasmedge-v1", 0o755, files.shim)
        .file("wasmedge-kubernetes", 0o755, files.kubernetes)
        .file("verification.wasm", 0o755, wat::parse_str(VERIFICATION)?)
        .file("licences/containerd-shim-wasmedge-v1.txt", 0o644, files.licences)
        .file("licences/wasmedge-kubernetes.txt", 0o644, kubernetes_licences);
    let defaults = Defaults { entrypoint: vec!["/containerd-shim-wasmedge-v1"], ..Defaults::default() };
    Image::rootfs(NAME, Os::Linux, arch, &[layer], defaults)?.archive()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use serde_json::Value;

    use super::*;

    fn made(arch: &str) -> Result<Vec<u8>> {
        let files = Files { shim: b"shim".to_vec(), kubernetes: b"kubernetes".to_vec(), licences: b"text".to_vec() };
        archive(arch, files, "other".into())
    }

    fn unpacked(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let file = |entry: std::io::Result<tar::Entry<_>>| {
            let mut entry: tar::Entry<_> = entry.unwrap();
            let (name, mode) = (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, (mode, bytes))
        };
        archive.entries().unwrap().map(file).collect()
    }

    fn blob(files: &BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
        files[&descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/")].1.clone()
    }

    #[test]
    fn the_image_has_the_programs_and_their_licences_and_nothing_else() {
        let files = unpacked(&made("arm64").unwrap());
        let index: Value = serde_json::from_slice(&files["index.json"].1).unwrap();
        let entry = &index["manifests"][0];
        assert_eq!(entry["platform"]["architecture"], "arm64");
        let name = concat!("localhost/containerd-shim-wasmedge-v1-installer:", env!("CARGO_PKG_VERSION"));
        assert_eq!(entry["annotations"]["io.containerd.image.name"], name);
        let manifest: Value = serde_json::from_slice(&blob(&files, entry)).unwrap();
        let layer = unpacked(&blob(&files, &manifest["layers"][0]));
        let modes: Vec<_> = layer.iter().map(|(name, (mode, _))| (name.as_str(), *mode)).collect();
        let expected = [
            ("containerd-shim-wasmedge-v1", 0o755),
            ("licences", 0o755),
            ("licences/containerd-shim-wasmedge-v1.txt", 0o644),
            ("licences/wasmedge-kubernetes.txt", 0o644),
            ("verification.wasm", 0o755),
            ("wasmedge-kubernetes", 0o755),
        ];
        assert_eq!(modes, expected);
        assert_eq!(layer["containerd-shim-wasmedge-v1"].1, b"shim");
        assert!(layer["verification.wasm"].1.starts_with(b"\0asm"));
    }

    #[test]
    fn the_same_files_make_the_same_archive_for_each_architecture() {
        assert_eq!(made("amd64").unwrap(), made("amd64").unwrap());
        assert_ne!(made("amd64").unwrap(), made("arm64").unwrap());
        assert!(made("riscv64").unwrap_err().to_string().contains("no image for riscv64"));
    }
}
