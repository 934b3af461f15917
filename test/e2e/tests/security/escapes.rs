//! Modules that try to reach out of their container.

use e2e::{Finished, Kind, Scene};

/// The answers of `fdprobe` to the attempt to open `path` from the directory `/`.
fn reached<'a>(run: &'a Finished, path: &str) -> Option<&'a str> {
    run.stdout.lines().find(|line| line.starts_with("reached: ") && line.ends_with(&format!("open {path} from /")))
}

#[test]
fn a_module_does_not_see_the_proc_and_sys_of_the_node() {
    let scene = Scene::new();
    let run =
        scene.docker(Kind::Wasm).run(["/fdprobe.wasm", "proc/self/mem", "proc/self/environ", "sys/kernel"]).exits(0);
    for path in ["proc/self/fd", "proc/1/root", "proc/self/mem", "proc/self/environ", "sys/kernel", "links/proc/1/root"]
    {
        assert_eq!(reached(&run, path), None, "{run}");
    }
    let world = scene.docker(Kind::Wasm).run(["/world.wasm", "/proc/self", "/proc/1", "/proc/self/mem", "/sys/kernel"]);
    for path in ["/proc/self", "/proc/1", "/proc/self/mem", "/sys/kernel"] {
        assert!(!["file", "directory", "other"].contains(&world.value(&format!("path.{path}"))), "{world}");
    }
}

#[test]
fn a_module_does_not_see_them_when_privileged_either() {
    let scene = Scene::new();
    let run =
        scene.docker(Kind::Wasm).flag("--privileged").run(["/fdprobe.wasm", "proc/self/mem", "sys/kernel"]).exits(0);
    for path in ["proc/self/fd", "proc/1/root", "proc/self/mem", "sys/kernel"] {
        assert_eq!(reached(&run, path), None, "{run}");
    }
}

#[test]
fn paths_and_links_upwards_stay_in_the_container() {
    let scene = Scene::new();
    // A file that the node has and the image has not.
    let marker = scene.directory().join("marker");
    std::fs::write(&marker, "of the node").unwrap();
    let below_root = marker.strip_prefix("/").unwrap().display().to_string();
    let tries = [
        below_root.clone(),
        format!("../../../..{}", marker.display()),
        format!("links/up/{below_root}"),
        format!("tmp/fdprobe-link/{below_root}"),
    ];
    let run = scene.docker(Kind::Wasm).run(["/fdprobe.wasm"].into_iter().chain(tries.iter().map(String::as_str)));
    for path in tries {
        assert_eq!(reached(&run, &path), None, "{run}");
    }
}

#[test]
fn a_module_has_no_descriptors_but_streams_and_its_directories() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/fdprobe.wasm"]).exits(0);
    let open: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("fd=")).collect();
    assert_eq!(open.len(), 4, "{open:?}");
    assert!(open[3].ends_with("type=3 preopen=/"), "{open:?}");
}

#[test]
fn links_of_a_volume_stay_in_the_container() {
    let scene = Scene::new();
    std::os::unix::fs::symlink("/etc/hostname", scene.directory().join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../etc/node-secret", scene.directory().join("relative")).unwrap();
    let volume = format!("{}:/v", scene.directory().display());
    let read = |path: &str| {
        scene.docker(Kind::Wasm).flags(["--hostname", "guest", "-v", &volume]).run(["/files.wasm", "read", path])
    };
    let absolute = read("/v/absolute");
    assert!(absolute.code != 0 || absolute.stdout == "guest\n", "{absolute}");
    read("/v/relative").fails();
}
