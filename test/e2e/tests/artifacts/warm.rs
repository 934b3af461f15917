//! `wasmedge-engine cache warm IMAGE`.

use std::time::Duration;

use e2e::{Command, Scene, command::command, ctr::ctr, docker::docker};

use super::blob;

fn warm(words: &[&str]) -> Command {
    command("wasmedge-engine")
        .args(["cache", "warm", "-O", "0"])
        .args(words.iter().copied())
        .deadline(Duration::from_secs(300))
}

/// Leaves the cache empty.
fn empty() {
    command("wasmedge-engine").args(["cache", "prune", "--all"]).run();
}

fn cached(digest: &str) -> bool {
    let list = command("wasmedge-engine").args(["cache", "list"]).run();
    list.lines().iter().any(|line| line.starts_with(&digest[..16]))
}

#[test]
fn the_modules_of_an_artifact_are_compiled() {
    let _scene = Scene::new();
    empty();
    let warmed = warm(&["localhost/artifact-hello"]).run();
    assert!(warmed.stdout.contains("compiled in"), "{warmed}");
    assert!(cached(&blob("hello.wasm").file_name().unwrap().to_string_lossy()));
    // Of its modules one is invalid.
    let many = warm(&["--namespace", "k8s.io", "localhost/artifact-many:latest"]).finish().fails();
    many.clone().says_in_one_line(&["artifact-many:latest: invalid.wasm", "type mismatch"]);
    let line = |part: &str| many.lines().into_iter().find(|line| line.contains(part)).unwrap_or_default().to_owned();
    assert!(
        line("hello.wasm").ends_with("is in the cache") && line("lib/exports.wasm").contains("compiled in"),
        "{many}"
    );
}

#[test]
fn the_modules_in_a_root_file_system_are_compiled() {
    let _scene = Scene::new();
    empty();
    let snapshots = || ctr(["snapshots", "ls"]).run().stdout;
    let before = snapshots();
    let warmed = warm(&["localhost/hello-wasm"]).run();
    assert!(warmed.stdout.contains("localhost/hello-wasm:latest: /hello.wasm: compiled in"), "{warmed}");
    let all = warm(&["localhost/wasm"]).run();
    assert!(all.stdout.contains("/hello.wasm: is in the cache"), "{all}");
    assert!(all.stdout.contains("/garbage.wasm: skipped, it is no module"), "{all}");
    assert_eq!(snapshots(), before);
    assert_eq!(ctr(["leases", "ls", "-q"]).run().stdout, "");
}

#[test]
fn an_image_that_is_not_there_is_looked_for_elsewhere() {
    let _scene = Scene::new();
    warm(&["localhost/nothing"]).finish().fails().says_in_one_line(&[
        "localhost/nothing",
        "no such image",
        "namespace default",
    ]);
    let moby = warm(&["--namespace", "moby", "localhost/hello-relative"]).finish();
    // With the containerd image store it is there.
    if !docker(["info", "--format", "{{.DriverStatus}}"]).run().stdout.contains("io.containerd.snapshotter.v1") {
        moby.fails().says_in_one_line(&["no such image", "namespace moby", "--namespace k8s.io", "docker cp"]);
    } else {
        moby.exits(0);
    }
    let linux = warm(&["localhost/busybox"]).finish().fails();
    linux.says_in_one_line(&["localhost/busybox", "no modules"]);
    warm(&["--address", "/no/such.sock", "image"]).finish().fails().says_in_one_line(&["/no/such.sock"]);
}
