//! Programs that are run in a container that lives: as confined as its own entrypoint.

use std::{collections::BTreeSet, fs};

use e2e::{Kind, Scene, docker::Container, process::Process, until};

fn living(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    let run = scene.docker(kind).image("both").flags(flags.iter().copied());
    run.detach(kind.sleeper()).says("sleeping").clone()
}

/// Runs `words` in the container and leaves them running; the process that has `name`.
fn running(container: &Container, words: &[&str], name: &str) -> Process {
    container.exec(&["-d"], words.iter().copied()).run();
    let init = container.init();
    until(&format!("process {name} in {}", container.name), || {
        let same = |process: &Process| process.pid != init.pid && process.namespace("mnt").is_ok();
        Process::named(name).into_iter().find(|process| same(process) && in_container(process, &init))
    })
}

fn in_container(process: &Process, init: &Process) -> bool {
    let cgroup = |process: &Process| fs::read_to_string(process.file("cgroup")).unwrap_or_default();
    cgroup(process) == cgroup(init)
}

fn reached(stdout: &str, path: &str) -> bool {
    stdout.lines().any(|line| line.starts_with("reached: ") && line.ends_with(&format!("open {path} from /")))
}

#[test]
fn a_module_in_a_linux_container_does_not_see_proc_and_sys() {
    let scene = Scene::new();
    let container = living(&scene, Kind::Linux, &[]);
    // Its neighbours do.
    container.exec(&[], ["test", "-e", "/proc/self/mem"]).run();
    for flags in [&[][..], &["--privileged"]] {
        let run = container.exec(flags, ["/fdprobe.wasm", "proc/self/mem", "proc/1/root", "sys/kernel"]).run();
        for path in ["proc/self/fd", "proc/1/root", "proc/self/mem", "sys/kernel"] {
            assert!(!reached(&run.stdout, path), "{path} with {flags:?}\n{run}");
        }
    }
    container.exec(&[], ["test", "-e", "/proc/self/mem"]).run();
}

#[test]
fn a_module_is_hardened_whatever_the_container_runs() {
    let scene = Scene::new();
    for kind in [Kind::Wasm, Kind::Linux] {
        let container = living(&scene, kind, &["--cap-add", "ALL"]);
        let module = running(&container, &["/sleep.wasm", "601"], "sleep.wasm");
        assert_eq!(module.status("NoNewPrivs"), "1", "{kind:?}");
        let capabilities = u64::from_str_radix(&module.status("CapEff"), 16).unwrap();
        assert_eq!(capabilities & !(1 << 1 | 1 << 3 | 1 << 10), 0, "{kind:?}: {capabilities:x}");
        // The container's, that for reading a module, that for running one.
        assert_eq!(module.status("Seccomp_filters"), "3", "{kind:?}");
        // Its streams twice, the engine's and the guest's, and the root.
        let open = module.descriptors();
        assert!(open.iter().all(|(fd, target)| *fd < 6 || *fd == 6 && target == "/"), "{kind:?}: {open:?}");
    }
}

#[test]
fn a_program_keeps_the_seccomp_profile_and_the_namespaces_of_its_container() {
    let scene = Scene::new();
    for kind in [Kind::Wasm, Kind::Linux] {
        let container = living(&scene, kind, &[]);
        let (init, program) = (container.init(), running(&container, &["sleep", "602"], "sleep"));
        assert_eq!(program.status("Seccomp"), "2", "{kind:?}");
        for namespace in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
            assert_eq!(program.namespace(namespace).unwrap(), init.namespace(namespace).unwrap(), "{kind:?}");
        }
    }
}

#[test]
fn a_program_has_no_descriptor_of_the_node() {
    let scene = Scene::new();
    let container = living(&scene, Kind::Linux, &[]);
    let list = container.exec(&[], ["ls", "/proc/self/fd"]).run();
    // The fourth is the directory that ls reads.
    let open: BTreeSet<_> = list.stdout.split_whitespace().collect();
    assert_eq!(open, BTreeSet::from(["0", "1", "2", "3"]), "{list}");
}

#[test]
fn a_working_directory_outside_of_the_container_is_refused() {
    let scene = Scene::new();
    let container = living(&scene, Kind::Linux, &[]);
    for number in 3..16 {
        let directory = format!("/proc/self/fd/{number}");
        let run = container.exec(&["-w", &directory], ["pwd"]).finish();
        assert!(run.code != 0 || run.stdout.starts_with("/proc/"), "{run}");
    }
}
