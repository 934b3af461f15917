//! `install` and `uninstall` killed at each system call that may change something: containerd starts with what is there
//! then, and a further run ends what was begun.

use std::{fs, path::Path};

use e2e::{Command, Finished, Scene, command};

use super::roots::{self, Root, SHIM, Tree, differences};

/// What changes files, and the opening that makes them.
const CALLS: [&str; 20] = [
    "openat",
    "write",
    "pwrite64",
    "copy_file_range",
    "sendfile",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "fsync",
    "fdatasync",
    "ftruncate",
];

/// More than there are of one; a test that comes so far does not end.
const MOST: usize = 1000;

#[test]
fn an_import_is_added_and_removed_so_that_containerd_always_starts() {
    killed_everywhere(if roots::containerd().0 > 1 { "containerd-2.1-kubeadm" } else { "containerd-1.7-kubeadm" });
}

#[test]
fn a_configuration_is_made_and_removed_so_that_containerd_always_starts() {
    killed_everywhere("containerd-2.2-none");
}

#[test]
fn docker_s_configuration_is_always_whole() {
    killed_everywhere("docker-nvidia");
}

/// What was looked at already is not looked at again.
struct Seen(Option<Tree>);

fn killed_everywhere(name: &str) {
    let scene = Scene::new();
    // No engine lies beside this one, which would only take time to be copied.
    let shim = scene.directory().join("containerd-shim-wasmedge-v1");
    fs::copy(SHIM, &shim).expect("copying the shim");
    let shim = shim.display().to_string();
    let killed = |uninstall| CALLS.iter().map(|call| each(call, &scene, name, &shim, uninstall)).sum();
    let (installs, uninstalls): (usize, usize) = (killed(false), killed(true));
    println!("{name}: killed at {installs} calls of install and {uninstalls} of uninstall");
    assert!(installs > 40 && uninstalls > 40, "{installs} and {uninstalls}");
}

/// Kills a run at its first call of this kind, another at its second, until one ends by itself. Returns how many were
/// killed. strace counts each kind by itself.
fn each(call: &str, scene: &Scene, name: &str, shim: &str, uninstall: bool) -> usize {
    let mut seen = Seen(None);
    for number in 1..MOST {
        let root = Root::new(name, scene.directory());
        fs::create_dir_all(root.path.join("var/lib")).expect("a directory");
        let before = root.tree();
        if uninstall {
            root.install(shim).run();
        }
        let run = if uninstall { root.uninstall(shim) } else { root.install(shim) };
        let killed = at(call, number, &run);
        let what = format!("{name}: killed at {call} {number} (uninstall: {uninstall})");
        starts(&root, &what, &mut seen);
        // Every other one is given up instead of ended.
        if !uninstall && number % 2 == 0 {
            root.install(shim).run();
            root.install(shim).run().says_on_stdout("nothing to do");
        }
        root.uninstall(shim).run();
        assert_eq!(differences(&before, &root.tree()), Vec::<std::path::PathBuf>::new(), "{what}");
        fs::remove_dir_all(&root.path).expect("removing a root");
        if killed.code == 0 {
            return number - 1;
        }
        assert_eq!(killed.code, 137, "{what}: {killed}");
    }
    panic!("{name}: no run ends");
}

fn at(call: &str, number: usize, run: &Command) -> Finished {
    let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={number}"));
    let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    run.clone().through(strace).finish()
}

fn starts(root: &Root, what: &str, seen: &mut Seen) {
    let config = root.path.join("etc");
    let tree: Tree = root.tree().into_iter().filter(|(path, _)| path.starts_with("etc")).collect();
    if seen.0.as_ref() == Some(&tree) {
        return;
    }
    if root.name.starts_with("docker") {
        json(&config.join("docker/daemon.json"), what);
    } else {
        let dump = root.dump();
        assert!(dump.code == 0, "{what}: containerd does not start\n{dump}");
        // A dump says nothing of an import that is missing, with which containerd does not start.
        let text = fs::read_to_string(config.join("containerd/config.toml")).unwrap_or_default();
        let shown = dump.stdout.contains("runtimes.wasmedge]");
        assert!(shown || !text.contains("wasmedge"), "{what}: an import is missing\n{text}\n{dump}");
    }
    seen.0 = Some(tree);
}

fn json(path: &Path, what: &str) {
    let path = path.display().to_string();
    let checked = command("dockerd").args(["--validate", "--config-file", &path]).finish();
    assert!(checked.code == 0, "{what}: Docker does not start\n{checked}");
}
