//! Each fault, made on purpose, is found and comes with what repairs it.

use std::fs;

use e2e::{Finished, Scene, command};

use super::roots::{Root, SHIM};

fn check(root: &Root) -> Finished {
    command(SHIM).args(["check", "--runtime", "containerd", "--root"]).arg(root.path.display().to_string()).finish()
}

/// A root with the handler.
fn installed(scene: &Scene) -> Root {
    let root = Root::new("containerd-2.2-default", scene.directory());
    root.install(SHIM).run();
    root
}

#[test]
fn a_missing_engine_is_found() {
    let _scene = Scene::new();
    let hidden =
        format!("mount --bind /dev/null /usr/local/bin/wasmedge-engine; exec {SHIM} check --runtime=containerd");
    let found = command("unshare").args(["-m", "sh", "-ec", &hidden]).finish().exits(1);
    found.says_on_stdout("wasmedge-engine is neither at /usr/local/bin/wasmedge-engine nor in PATH");
    command(SHIM).args(["check", "--runtime=containerd"]).finish().exits(0);
}

#[test]
fn a_missing_program_is_found() {
    let scene = Scene::new();
    let root = installed(&scene);
    fs::remove_file(root.path.join("usr/local/bin/containerd-shim-wasmedge-v1")).expect("the shim was copied");
    let found = check(&root).exits(1);
    // By its path in what is written for containerd 2.0 and 2.1.
    let told = [" is not in the PATH of containerd", ", which the handler names, is no program"]
        .map(|cause| format!("containerd-shim-wasmedge-v1{cause}"));
    assert!(told.iter().any(|told| found.stdout.contains(told)), "{found}");
}

#[test]
fn a_configuration_that_containerd_does_not_read_is_found() {
    let scene = Scene::new();
    let root = installed(&scene);
    let config = root.path.join("etc/containerd/config.toml");
    fs::write(&config, "version = 3\nimports = [\"/etc/containerd/gone.toml\"]\n").expect("a file");
    check(&root)
        .exits(1)
        .says_on_stdout("/etc/containerd/gone.toml, which /etc/containerd/config.toml imports, is missing");
    fs::write(&config, "version = \n").expect("a file");
    check(&root).exits(1).says_on_stdout("/etc/containerd/config.toml is not TOML");
}

#[test]
fn annotations_that_do_not_reach_the_runtime_are_found() {
    let scene = Scene::new();
    let root = installed(&scene);
    let path = root.path.join("etc/containerd/conf.d/50-wasmedge.toml");
    let path = if path.exists() { path } else { root.path.join("etc/containerd/config.toml") };
    let text = fs::read_to_string(&path).expect("a file");
    let kept = text.lines().filter(|line| !line.contains("pod_annotations")).map(|line| format!("{line}\n"));
    fs::write(&path, kept.collect::<String>()).expect("a file");
    check(&root).says_on_stdout("annotations io.wasmedge.* of pods do not reach the runtime");
}
