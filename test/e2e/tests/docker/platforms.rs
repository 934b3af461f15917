//! Images of the platform wasi/wasm. Docker's own image store refuses them, containerd's takes them.

use e2e::{Kind, Scene, docker::docker};

/// What build-images has written beside the images that every store takes.
const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/images/hello-wasi.tar");

const IMAGE: &str = "localhost/hello-wasi:latest";

/// Whether Docker keeps its images in containerd.
fn containerd_s_store() -> bool {
    docker(["info", "--format", "{{.DriverStatus}}"]).run().stdout.contains("io.containerd.snapshotter.v1")
}

#[test]
fn an_image_for_wasi_runs_where_the_store_takes_it() {
    let scene = Scene::new();
    let load = docker(["load", "--input", ARCHIVE]).finish();
    if !containerd_s_store() {
        load.fails().says_in_one_line(&["cannot load wasi image on linux"]);
        return;
    }
    load.exits(0);
    let platform = scene.docker(Kind::Wasm).image("hello-wasi").flag("--platform=wasi/wasm");
    platform.run(["one", "two words"]).exits(0).prints("hello from wasm\none\ntwo words\n").complains("");
    let container = platform.detach([""; 0]);
    assert_eq!(container.wait(), 0);
    container.logs().prints("hello from wasm\n");
    container.remove();
    docker(["image", "rm", IMAGE]).run();
}
