//! A live module's process, seen from the node.

use std::{fs, os::unix::fs::MetadataExt};

use e2e::{Kind, Scene, docker::Container, engine, process::Process};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

/// The capabilities that a module may keep, as a mask.
const USEFUL: u64 = 1 << 1 | 1 << 3 | 1 << 10; // DAC_OVERRIDE, FOWNER, NET_BIND_SERVICE

const SETS: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];

fn sleeping(scene: &Scene, flags: &[&str]) -> Container {
    scene.docker(Kind::Wasm).flags(flags.iter().copied()).detach(["/sleep.wasm", "600"]).says("sleeping").clone()
}

fn set(process: &Process, name: &str) -> u64 {
    u64::from_str_radix(&process.status(name), 16).unwrap()
}

#[test]
fn it_keeps_no_capability_but_those_a_module_can_use() {
    let scene = Scene::new();
    for flags in [&[][..], &["--cap-add", "ALL"], &["--privileged"]] {
        let init = sleeping(&scene, flags).init();
        for name in SETS {
            let set = set(&init, name);
            assert!(set & !USEFUL == 0, "{name} is {set:016x} with {flags:?}");
        }
        assert_eq!(set(&init, "CapEff"), USEFUL, "with {flags:?}");
    }
}

#[test]
fn it_has_no_capability_when_all_are_dropped() {
    let scene = Scene::new();
    let init = sleeping(&scene, &["--cap-drop", "ALL"]).init();
    for name in SETS {
        assert_eq!(set(&init, name), 0, "{name}");
    }
    let init = sleeping(&scene, &["--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--cap-add", "CHOWN"]).init();
    assert_eq!(set(&init, "CapEff"), 1 << 10);
}

#[test]
fn another_user_has_no_capability() {
    let scene = Scene::new();
    for flags in [&["--user", "1000"][..], &["--user", "1000", "--cap-add", "ALL"]] {
        let init = sleeping(&scene, flags).init();
        for name in SETS {
            assert_eq!(set(&init, name), 0, "{name} with {flags:?}");
        }
        assert_eq!(init.status("Uid"), "1000\t1000\t1000\t1000");
        assert_eq!(init.status("Gid").split('\t').next(), Some("1000"));
    }
}

#[test]
fn it_can_get_no_new_privileges() {
    let scene = Scene::new();
    for flags in [&[][..], &["--security-opt", "no-new-privileges=false"], &["--privileged"]] {
        assert_eq!(sleeping(&scene, flags).init().status("NoNewPrivs"), "1", "with {flags:?}");
    }
}

#[test]
fn two_filters_watch_its_system_calls_and_one_is_always_there() {
    let scene = Scene::new();
    let filters = |flags: &[&str]| {
        let init = sleeping(&scene, flags).init();
        assert_eq!(init.status("Seccomp"), "2", "with {flags:?}");
        init.status("Seccomp_filters").parse::<u32>().unwrap()
    };
    assert!(filters(&[]) >= 2);
    assert!(filters(&["--security-opt", "seccomp=unconfined"]) >= 1);
    assert!(filters(&["--privileged"]) >= 1);
}

#[test]
fn it_has_its_standard_streams_and_its_directories_open_and_nothing_of_the_node() {
    let scene = Scene::new();
    let volume = format!("{}:/v", scene.directory().display());
    for flags in [&[][..], &["-w", "/data", "-v", &volume], &["-i"]] {
        let init = sleeping(&scene, flags).init();
        let open = init.descriptors();
        for (fd, target) in &open {
            let link = init.file(&format!("fd/{fd}"));
            let meta = fs::metadata(&link).unwrap();
            let inside = init.file("root").join(target.trim_start_matches('/'));
            let its_own = || fs::metadata(inside).is_ok_and(|own| (own.dev(), own.ino()) == (meta.dev(), meta.ino()));
            let fine = match fd {
                // The engine's, and the guest's copies of them.
                0..=5 => target.starts_with("pipe:") || target == "/dev/null" || meta.file_type_is_fifo(),
                _ => meta.is_dir() && its_own(),
            };
            assert!(fine, "descriptor {fd} is {target}; all: {open:?}");
        }
    }
}

trait IsFifo {
    fn file_type_is_fifo(&self) -> bool;
}

impl IsFifo for fs::Metadata {
    fn file_type_is_fifo(&self) -> bool {
        std::os::unix::fs::FileTypeExt::is_fifo(&self.file_type())
    }
}

#[test]
fn it_blocks_and_ignores_no_signal_but_that_of_a_closed_pipe() {
    let scene = Scene::new();
    let init = sleeping(&scene, &[]).init();
    // What the node's services were started with reaches the containers of every runtime.
    let runc = scene.docker(Kind::Runc).detach(["sleep", "600"]).init();
    let sigpipe = 1 << (13 - 1);
    assert_eq!(set(&init, "SigBlk"), 0);
    assert_eq!(set(&init, "SigIgn") | sigpipe, set(&runc, "SigIgn") | sigpipe);
    assert_eq!(set(&init, "ShdPnd"), 0);
}

#[test]
fn its_environment_has_nothing_of_the_engine_s() {
    let scene = Scene::new();
    let init = sleeping(&scene, &["-e", "MINE=1"]).init();
    let environment = fs::read(init.file("environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let mine = ["MINE", "PATH", "HOSTNAME", "HOME"];
    let other: Vec<_> = environment
        .split('\0')
        .filter(|entry| !entry.is_empty() && !mine.contains(&entry.split('=').next().unwrap_or("")))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    assert!(!environment.contains("containerd"), "{environment:?}");
}

#[test]
fn its_executable_cannot_be_changed() {
    let scene = Scene::new();
    let init = sleeping(&scene, &[]).init();
    for process in [&init, &engine::running_host()] {
        let executable = fs::File::open(process.file("exe")).unwrap();
        let seals = SealFlag::from_bits_truncate(fcntl(&executable, FcntlArg::F_GET_SEALS).expect("it is a memfd"));
        let wanted = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        assert!(seals.contains(wanted), "{seals:?}");
        assert!(fs::OpenOptions::new().write(true).open(process.file("exe")).is_err());
    }
    let installed = fs::metadata(engine::BINARY).unwrap();
    let runs = fs::metadata(init.file("exe")).unwrap();
    assert_ne!((installed.dev(), installed.ino()), (runs.dev(), runs.ino()));
}

#[test]
fn its_user_cannot_trace_it() {
    let scene = Scene::new();
    let init = sleeping(&scene, &["--user", "1000"]).init();
    // The files of a process that is not dumpable belong to root (proc(5)).
    for file in ["environ", "maps", "mem"] {
        assert_eq!(fs::metadata(init.file(file)).unwrap().uid(), 0, "{file}");
    }
}

#[test]
fn it_is_alone_in_namespaces_of_its_own() {
    let scene = Scene::new();
    let container = sleeping(&scene, &[]);
    let (init, host) = (container.init(), engine::running_host());
    assert_eq!(init.status("NSpid").split_whitespace().nth(1), Some("1"));
    for kind in ["mnt", "pid", "net", "ipc", "uts"] {
        assert_ne!(init.namespace(kind).unwrap(), host.namespace(kind).unwrap(), "{kind}");
    }
    let pid_namespace = init.namespace("pid").unwrap();
    let inside =
        Process::all().iter().filter(|process| process.namespace("pid").is_ok_and(|pid| pid == pid_namespace)).count();
    assert_eq!(inside, 1);
    assert_eq!(init.status("Threads"), "1");
}

#[test]
fn it_is_in_the_cgroup_of_its_container_and_the_host_is_not() {
    let scene = Scene::new();
    let container = sleeping(&scene, &[]);
    let id = container.inspect(".Id");
    let groups = |process: &Process| e2e::command::read(process.file("cgroup"));
    let own = groups(&container.init());
    // On a machine with cgroup v1, hierarchies without a controller limit nothing.
    let unified = own.lines().count() == 1;
    let limits = |line: &&str| unified || !(line.starts_with("0::") || line.contains(":name="));
    assert!(own.lines().filter(limits).all(|line| line.contains(&id)), "{own}");
    assert!(!groups(&engine::running_host()).contains(&id));
}

#[test]
fn the_host_keeps_no_descriptor_of_a_container_but_its_pidfd() {
    let scene = Scene::new();
    let host = engine::running_host();
    let count = || host.descriptors().into_iter().map(|(_, target)| target).collect::<Vec<_>>();
    let before = count();
    let _containers: Vec<_> = (0..3).map(|_| sleeping(&scene, &[])).collect();
    let after = count();
    let new: Vec<_> =
        after.iter().filter(|target| !before.contains(target) && !target.starts_with("socket:")).collect();
    assert!(new.iter().all(|target| target.contains("pidfd")), "{new:?}");
}
