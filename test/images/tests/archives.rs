//! What containerd and Docker rely on in the archives.

use std::collections::BTreeMap;
use std::io::Read;

use oci_spec::image::{Arch, Os};
use serde_json::Value;
use test_images::image::{Defaults, Image, Module, digest};
use test_images::layer::Layer;

type Files = BTreeMap<String, Vec<u8>>;

fn greeting() -> Image {
    let (mut base, mut app) = (Layer::default(), Layer::default());
    base.file("etc/passwd", 0o644, "root:x:0:0::/:\n");
    app.file("hello.wasm", 0o755, b"\0asm\x01\0\0\0");
    let defaults = Defaults {
        entrypoint: vec!["/hello.wasm"],
        env: vec!["A=1", "B=2"],
        working_dir: "/app",
        ..Defaults::default()
    };
    Image::rootfs("greeting", Os::Linux, Arch::Amd64, &[base, app], defaults).unwrap()
}

fn unpack(archive: &[u8]) -> Files {
    let mut archive = tar::Archive::new(archive);
    let mut files = Files::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), bytes);
    }
    files
}

fn json(files: &Files, path: &str) -> Value {
    serde_json::from_slice(&files[path]).unwrap()
}

/// What a descriptor points to, after checking its digest and size.
fn blob<'a>(files: &'a Files, descriptor: &Value) -> &'a [u8] {
    let name = descriptor["digest"].as_str().unwrap();
    let bytes = &files[&name.replace("sha256:", "blobs/sha256/")];
    assert_eq!(digest(bytes), name);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}

fn manifest(files: &Files) -> Value {
    let index = json(files, "index.json");
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    serde_json::from_slice(blob(files, &index["manifests"][0])).unwrap()
}

#[test]
fn every_blob_is_named_by_its_digest() {
    let files = unpack(&greeting().archive().unwrap());
    let blobs: Vec<_> = files.iter().filter(|(path, _)| path.starts_with("blobs/")).collect();
    assert_eq!(blobs.len(), 4);
    for (path, bytes) in blobs {
        assert_eq!(digest(bytes).replace(':', "/"), path["blobs/".len()..]);
    }
}

#[test]
fn containerd_finds_name_platform_config_and_layers() {
    let files = unpack(&greeting().archive().unwrap());
    assert_eq!(json(&files, "oci-layout")["imageLayoutVersion"], "1.0.0");
    let entry = &json(&files, "index.json")["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "localhost/greeting:latest");
    assert_eq!((&entry["platform"]["os"], &entry["platform"]["architecture"]), (&"linux".into(), &"amd64".into()));

    let manifest = manifest(&files);
    let config: Value = serde_json::from_slice(blob(&files, &manifest["config"])).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let digests: Vec<_> = layers.iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().iter().collect::<Vec<_>>(), digests);
    for layer in layers {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar");
        blob(&files, layer);
    }
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/hello.wasm"]));
    assert_eq!(config["config"]["Env"], serde_json::json!(["A=1", "B=2"]));
    assert_eq!(config["config"]["WorkingDir"], "/app");
    assert!(config["config"].get("Cmd").is_none());
}

#[test]
fn docker_finds_the_same_config_and_layers() {
    let files = unpack(&greeting().archive().unwrap());
    let (docker, manifest) = (&json(&files, "manifest.json")[0], manifest(&files));
    let path = |descriptor: &Value| descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    assert_eq!(docker["RepoTags"], serde_json::json!(["localhost/greeting:latest"]));
    assert_eq!(docker["Config"], path(&manifest["config"]));
    let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(path).collect();
    assert_eq!(docker["Layers"], serde_json::json!(layers));
}

#[test]
fn the_same_image_gives_the_same_archive() {
    assert_eq!(greeting().archive().unwrap(), greeting().archive().unwrap());
}

#[test]
fn an_artifact_carries_the_module_itself_and_nothing_for_docker() {
    let module = b"\0asm\x01\0\0\0".to_vec();
    let layer = Module { media_type: "application/wasm", title: Some("a.wasm"), bytes: module.clone() };
    let files = unpack(&Image::artifact("module", layer).unwrap().archive().unwrap());
    let manifest = manifest(&files);
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "a.wasm");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(blob(&files, &manifest["layers"][0]), module);
    assert!(!files.contains_key("manifest.json"));
}
