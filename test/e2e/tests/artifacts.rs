//! Wasm OCI artifacts: images whose modules are layers, which no store unpacks.

mod clients;
mod refused;
mod warm;

use std::path::{Path, PathBuf};

use e2e::{Kind, Scene, command::command, ctr::Run};

/// Where containerd keeps blobs.
const BLOBS: &str = "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256";

/// `ctr run` of an artifact.
fn ctr_run(scene: &Scene, image: &str) -> Run {
    scene.ctr(Kind::Wasm).image(image)
}

/// A module of the test images, on the node.
fn module(name: &str) -> PathBuf {
    let built = "../../target/test-images/workloads/wasm32-wasip1/release";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(built).join(name)
}

/// The file of the layer with the module `name`.
fn blob(name: &str) -> PathBuf {
    let sum = command("sha256sum").arg(module(name).display().to_string()).run().stdout;
    Path::new(BLOBS).join(sum.split(' ').next().expect("sha256sum prints a digest"))
}
