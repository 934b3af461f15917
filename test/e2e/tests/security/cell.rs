//! The cell of a compiler, looked at while it works for a container. Regression tests for S9.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use e2e::{Kind, Scene, command::command, process::Process, until};

/// Namespaces that a compiler has for itself.
const NAMESPACES: [&str; 7] = ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"];

/// A module of the test images that takes a while, with a section of its own, so that it is compiled.
fn module(scene: &Scene) -> PathBuf {
    let built = "../../target/test-images/workloads/wasm32-wasip1/release/http.wasm";
    let mut bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(built)).unwrap();
    let name = scene.name();
    // A section's id, its length, its name and no content (WebAssembly core specification, custom sections).
    bytes.extend([0, u8::try_from(name.len()).unwrap() + 1, u8::try_from(name.len()).unwrap()]);
    bytes.extend(name.as_bytes());
    let path = scene.directory().join(format!("{name}.wasm"));
    fs::write(&path, bytes).unwrap();
    path
}

/// The compiler behind a process that waits for it, once it is confined.
fn confined_child_of(parent: impl Fn(&Process) -> bool) -> Process {
    until("a confined compiler", || {
        let all = Process::all();
        let child = |one: &&Process| all.iter().any(|other| other.pid == one.parent && parent(other));
        let confined = |one: &&Process| {
            fs::read_to_string(one.file("status")).is_ok_and(|status| status.contains("NoNewPrivs:\t1"))
                && one.namespace("mnt").is_ok_and(|own| own != Process::of(1).unwrap().namespace("mnt").unwrap())
        };
        all.iter().filter(child).find(confined).cloned()
    })
}

/// A compiler that stands still to be looked at. It holds one of the node's few slots, so it ends with the test.
struct Stopped(Process);

impl Stopped {
    fn new(process: Process) -> Self {
        let pid = nix::unistd::Pid::from_raw(process.pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
        Self(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.kill();
    }
}

#[test]
fn a_container_s_compiler_is_in_a_cell_of_its_own() {
    let scene = Scene::new();
    let path = module(&scene);
    let volume = format!("{}:/module.wasm:ro", path.display());
    let run = scene.docker(Kind::Wasm).flags(["-v", &volume, "--annotation", "io.wasmedge.aot=tiered"]);
    let container = run.detach(["/module.wasm", "8080"]);
    let stopped = Stopped::new(confined_child_of(|one| one.name == "wasmedge-aot"));
    let compiler = &stopped.0;
    let node = Process::of(1).unwrap();
    for namespace in NAMESPACES {
        assert_ne!(compiler.namespace(namespace).unwrap(), node.namespace(namespace).unwrap(), "{namespace}");
    }
    assert_eq!(compiler.status("Seccomp"), "2");
    assert_eq!(compiler.status("CapEff"), "0000000000000000");
    assert_eq!(compiler.status("CapPrm"), "0000000000000000");
    let open: Vec<String> = compiler.descriptors().into_iter().map(|(_, target)| target).collect();
    let harmless = |target: &String| {
        target.ends_with("/null") || target.starts_with("pipe:[") || target.starts_with("/memfd:native-code")
    };
    // Files of its own directory have paths without a mount of the node.
    assert!(open.iter().all(|target| harmless(target) || target.starts_with("/module.so")), "{open:?}");
    let limits = fs::read_to_string(compiler.file("limits")).unwrap();
    let processes = limits.lines().find(|line| line.starts_with("Max processes")).unwrap();
    let most: u32 = processes.split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!(most < 1024, "{processes}");
    // Another process of the user that so many things run as.
    let signalled = command("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "kill", "-0"])
        .arg(compiler.pid.to_string())
        .finish();
    signalled.fails();
    drop(stopped);
    container.remove();
}

#[test]
fn its_users_are_told_apart() {
    let scene = Scene::new();
    let outputs = ["a.so", "b.so"].map(|name| scene.directory().join(name));
    let mut children: Vec<Child> = outputs
        .iter()
        .map(|output| Command::new("wasmedge-engine").arg("compile").args([&module(&scene), output]).spawn().unwrap())
        .collect();
    let user = |child: &Child| {
        let parent = child.id().cast_signed();
        confined_child_of(move |one| one.pid == parent).status("Uid")
    };
    assert_ne!(user(&children[0]), user(&children[1]));
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
}

/// In a user namespace that allows no further ones, which is the closest to `user.max_user_namespaces = 0` that leaves the
/// machine alone.
#[test]
fn on_a_node_without_user_namespaces_the_other_walls_stand() {
    let scene = Scene::new();
    let output = scene.directory().join("module.so");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec wasmedge-engine compile \"$0\" \"$1\"";
    let child = Command::new("unshare")
        .args(["--user", "--map-users=0,0,4000000000", "--map-groups=0,0,4000000000", "--setuid=0", "--setgid=0"])
        .args(["sh", "-c", script])
        .args([&module(&scene), &output])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parent = child.id().cast_signed();
    let compiler = confined_child_of(|one| one.pid == parent || one.parent == parent);
    let node = Process::of(1).unwrap();
    for namespace in NAMESPACES.into_iter().filter(|name| *name != "user") {
        assert_ne!(compiler.namespace(namespace).unwrap(), node.namespace(namespace).unwrap(), "{namespace}");
    }
    until("its filter", || (compiler.status("Seccomp") == "2").then_some(()));
    assert_ne!(compiler.status("Uid").split_whitespace().next(), Some("65534"));
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(fs::read(&output).unwrap()[..4], *b"\x7fELF");
}
