//! A module sees no proc, sysfs or cgroup filesystem, wherever in its container the node's have been mounted.

use std::{fs, path::PathBuf};

use e2e::{Kind, Scene, command, command::read, docker::Container, process::Process};

/// Filesystems of which a module's container must have none.
const HIDDEN: [&str; 5] = ["proc", "sysfs", "cgroup", "cgroup2", "mqueue"];

/// The mounts of such filesystems that a process sees.
fn hidden(process: &Process) -> Vec<String> {
    let mounts = read(process.file("mountinfo"));
    let kind = |line: &str| line.split_once(" - ").and_then(|(_, right)| right.split(' ').next().map(str::to_owned));
    let of_node = |line: &&str| kind(line).is_some_and(|kind| HIDDEN.contains(&&*kind));
    mounts.lines().filter(of_node).map(str::to_owned).collect()
}

/// A directory of the node with its proc filesystem in it, under a name that mountinfo has to escape.
struct WithProc(PathBuf);

impl WithProc {
    fn new(scene: &Scene) -> Self {
        let top = scene.directory().join("with proc");
        let place = top.join("a b\\040c");
        fs::create_dir_all(&place).unwrap();
        fs::write(top.join("file"), "of the node").unwrap();
        command("mount").args(["-t", "proc", "e2e", &place.display().to_string()]).run();
        Self(top)
    }

    fn is_whole(&self) -> bool {
        self.0.join("a b\\040c/self").exists()
    }
}

impl Drop for WithProc {
    fn drop(&mut self) {
        let _ = command("umount").args(["-l", &self.0.join("a b\\040c").display().to_string()]).try_finish();
    }
}

fn living(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    let run = scene.docker(kind).image("both").flags(flags.iter().copied());
    run.detach(kind.sleeper()).says("sleeping").clone()
}

/// Case 22 of the review: by `/host/proc/self/mem` a module wrote to the engine around it.
#[test]
fn a_module_sees_no_proc_of_its_own_engine_below_a_mount_of_the_node_s_root() {
    let scene = Scene::new();
    let with_proc = WithProc::new(&scene);
    let volume = format!("type=bind,src={},dst=/v", with_proc.0.display());
    let propagated = format!("{volume},bind-propagation=rslave");
    for flags in [
        &["-v", "/:/host:ro"][..],
        &["-v", "/:/host:rslave"],
        &["-v", "/:/host", "--privileged"],
        &["-v", "/proc:/host/proc"],
        &["-v", "/proc/self:/self"],
        &["-v", "/proc/cpuinfo:/cpuinfo"],
        &["-v", "/sys:/host/sys", "-v", "/sys/fs/cgroup:/cg"],
        &["--mount", &*volume],
        &["--mount", &*propagated],
    ] {
        let container = living(&scene, Kind::Wasm, flags);
        assert_eq!(hidden(&container.init()), Vec::<String>::new(), "{flags:?}");
        container.remove();
    }
    assert!(with_proc.is_whole(), "the node has lost a mount");
    assert!(fs::exists("/proc/self").unwrap() && fs::exists("/sys/kernel").unwrap());
    let read = |path: &str| {
        scene.docker(Kind::Wasm).flags(["-v", "/:/host:ro", "--mount", &*volume]).run(["/files.wasm", "read", path])
    };
    read("/host/proc/self/maps").fails();
    read("/host/proc/self/mem").fails();
    // The rest of the mount is there.
    read("/host/run/node-ready").exits(0);
    read("/v/file").exits(0).prints("of the node");
}

/// The same of a module that is run in a Linux container, which has its own `/proc` and what it was given.
#[test]
fn a_module_that_is_run_in_a_linux_container_sees_none_either() {
    let scene = Scene::new();
    let with_proc = WithProc::new(&scene);
    let volume = format!("type=bind,src={},dst=/v w", with_proc.0.display());
    let container = living(&scene, Kind::Linux, &["-v", "/:/host:ro", "--mount", &volume]);
    container.exec(&[], ["test", "-e", "/host/proc/self/mem"]).run();
    container.exec(&["-d"], ["/sleep.wasm", "601"]).run();
    let module = e2e::until("the module", || Process::named("sleep.wasm").into_iter().next());
    assert_eq!(hidden(&module), Vec::<String>::new());
    assert_ne!(hidden(&container.init()), Vec::<String>::new());
    assert!(with_proc.is_whole(), "the node has lost a mount");
}

/// A root that is the node's own has the node's `/proc`.
#[test]
fn a_module_whose_root_has_a_proc_in_it_does_not_see_that() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &Kind::Wasm.sleeper());
    let root = bundle.path("rootfs").display().to_string();
    let proc = format!("{root}/proc");
    fs::create_dir_all(&proc).unwrap();
    command("mount").args(["-t", "proc", "e2e", &proc]).run();
    let shim = bundle.start();
    let created = shim.create().map(|created| hidden(&Process::of(created.pid.cast_signed()).unwrap()));
    let whole = fs::exists(format!("{proc}/self")).unwrap();
    if created.is_ok() {
        shim.kill(9).unwrap();
        shim.wait().unwrap();
        shim.delete().unwrap();
    }
    command("umount").args(["-l", &proc]).run();
    assert_eq!(created.unwrap(), Vec::<String>::new());
    assert!(whole, "the node has lost a mount");
}
