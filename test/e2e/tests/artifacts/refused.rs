//! What cannot run says why, naming image and layer.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{Kind, Scene, ctr::ctr};

use super::{blob, ctr_run};

/// A file that is as before in the end.
struct Kept {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Kept {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), bytes: fs::read(path).unwrap() }
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(&self.path, bytes).unwrap();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.write(&self.bytes);
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o444)).unwrap();
    }
}

#[test]
fn a_layer_that_is_no_module() {
    let scene = Scene::new();
    let refused = ctr_run(&scene, "artifact-garbage").run([""; 0]).fails();
    refused.says_in_one_line(&[
        "/hello.wasm",
        "localhost/artifact-garbage:latest",
        "sha256:",
        "not a WebAssembly module",
    ]);
}

#[test]
fn a_component() {
    let scene = Scene::new();
    let refused = ctr_run(&scene, "artifact-component").run([""; 0]).fails();
    refused.says_in_one_line(&["/hello.wasm", "localhost/artifact-component:latest", "component", "wasm32-wasip1"]);
}

#[test]
fn a_module_that_does_not_validate() {
    let scene = Scene::new();
    ctr_run(&scene, "artifact-many")
        .run(["/invalid.wasm"])
        .fails()
        .says_in_one_line(&["/invalid.wasm", "type mismatch"]);
}

#[test]
fn a_module_that_the_image_does_not_have() {
    let scene = Scene::new();
    let refused = ctr_run(&scene, "artifact-many").run(["/nothing.wasm"]).fails();
    refused.says_in_one_line(&["/nothing.wasm", "localhost/artifact-many:latest", "8 modules", "lib/exports.wasm"]);
    // What is not called as modules are is just missing.
    ctr_run(&scene, "artifact-many")
        .run(["/bin/sh"])
        .fails()
        .says_in_one_line(&["/bin/sh", "no such file or directory"]);
}

#[test]
fn an_image_that_was_removed() {
    let scene = Scene::new();
    let (image, copy) = ("localhost/artifact-many:latest", "localhost/e2e-gone:latest");
    ctr(["images", "tag", image, copy]).run();
    let task = ctr_run(&scene, "e2e-gone").create(["/hello.wasm"]);
    ctr(["images", "rm", copy]).run();
    let start = ctr(["task", "start", "--detach", "--null-io", &task.id]).finish().fails();
    start.says_in_one_line(&["/hello.wasm", copy, "no such image", "namespace default"]);
}

#[test]
fn a_damaged_layer_never_runs() {
    let scene = Scene::new();
    let kept = Kept::new(&blob("hello.wasm"));
    let run = ctr_run(&scene, "artifact-many");
    run.run(["/hello.wasm"]).exits(0);
    let mut damaged = kept.bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    kept.write(&damaged);
    let refused = run.run(["/hello.wasm"]).fails().prints("");
    refused.says_in_one_line(&["localhost/artifact-many:latest", "sha256:", "is damaged"]);
    drop(kept);
    run.run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
}

#[test]
fn a_layer_that_others_may_write_to_is_read_through_containerd() {
    let scene = Scene::new();
    let kept = Kept::new(&blob("hello.wasm"));
    fs::set_permissions(&kept.path, fs::Permissions::from_mode(0o446)).unwrap();
    let task = ctr_run(&scene, "artifact-many").create(["/sleep.wasm", "600"]);
    task.start();
    // What it runs is a copy, which goes with it.
    let mounts = fs::read_to_string(task.init().file("mountinfo")).unwrap();
    let of = |name: &str| mounts.lines().find(|line| line.contains(&format!(" /{name} "))).unwrap().to_owned();
    assert!(of("hello.wasm").contains("/containers/default/"), "{mounts}");
    assert!(of("sleep.wasm").contains("/blobs/sha256/"), "{mounts}");
    task.exec(&[], ["/hello.wasm"]).run().prints("hello from wasm\n");
    drop(kept);
}

#[test]
fn runc_refuses_them() {
    let scene = Scene::new();
    scene.ctr(Kind::Runc).image("artifact-many").run(["/hello.wasm"]).fails();
}
