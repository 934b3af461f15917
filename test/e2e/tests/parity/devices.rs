//! Devices, and a `/dev` of somebody else. The node's own is that of the machine, so it is never mounted: a directory
//! stands for it.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use e2e::{Kind, Scene, command, command::read, docker::Container, expect_as_under_runc, for_kinds};
use serde_json::json;

for_kinds! {
    a_dev_that_is_mounted_is_left_alone;
    an_empty_dev_that_is_mounted_stays_empty;
    a_dev_that_is_mounted_has_a_terminal: Linux Runc;
    a_device_elsewhere_is_there;
    a_device_in_a_volume_is_there;
    a_dev_that_is_to_be_read_only_is_so;
}

/// What is in a directory, with kinds, targets of links, modes and owners.
fn listing(directory: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let target = fs::read_link(&path).unwrap_or_default();
            format!("{} {:o} {} {:x} {}", path.display(), meta.mode(), meta.uid(), meta.rdev(), target.display())
        })
        .collect();
    lines.sort();
    lines
}

/// A directory like a `/dev`, in memory, until it is dropped.
struct Dev(PathBuf);

impl Dev {
    fn empty(scene: &Scene) -> Self {
        let path = scene.directory().join(scene.name());
        fs::create_dir(&path).unwrap();
        command("mount").args(["-t", "tmpfs", "e2e", &path.display().to_string()]).run();
        Self(path)
    }

    fn new(scene: &Scene) -> Self {
        let dev = Self::empty(scene);
        for (name, minor) in [("null", "3"), ("zero", "5"), ("full", "7"), ("random", "8"), ("urandom", "9")] {
            command("mknod").args(["-m", "666", &dev.path(name), "c", "1", minor]).run();
        }
        command("mknod").args(["-m", "666", &dev.path("ptmx"), "c", "5", "2"]).run();
        for name in ["pts", "shm", "mqueue"] {
            fs::create_dir(dev.0.join(name)).unwrap();
        }
        for (name, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")] {
            std::os::unix::fs::symlink(target, dev.0.join(name)).unwrap();
        }
        dev
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn volume(&self) -> String {
        format!("{}:/dev", self.0.display())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = command("umount").args(["-l", &self.path("pts")]).try_finish();
        let _ = command("umount").args(["-l", &self.0.display().to_string()]).try_finish();
    }
}

fn start(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    scene.docker(kind).flags(flags.iter().copied()).detach(kind.sleeper()).says("sleeping").clone()
}

/// The mount points below `/dev` that a container's process sees, with their filesystems.
fn mounts_on_dev(container: &Container) -> Vec<String> {
    let mounts = read(container.init().file("mountinfo"));
    let fields = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let place = left.split(' ').nth(4)?;
        place.starts_with("/dev").then(|| format!("{place} {}", right.split(' ').next().unwrap_or_default()))
    };
    let mut found: Vec<_> = mounts.lines().filter_map(fields).collect();
    found.sort();
    found
}

/// Case 8 of the review: the node's `ptmx` was removed, and its `/dev` filled.
fn a_dev_that_is_mounted_is_left_alone(scene: &Scene, kind: Kind) {
    let dev = Dev::new(scene);
    let before = listing(&dev.0);
    for flags in [&["-v", &*dev.volume()][..], &["-v", &*dev.volume(), "--device", "/dev/null:/dev/other"]] {
        let container = start(scene, kind, flags);
        // What is in it is what is in the container.
        let inside = container.init().file("root/dev");
        assert_eq!(fs::metadata(&inside).unwrap().ino(), fs::metadata(&dev.0).unwrap().ino());
        assert!(fs::metadata(inside.join("zero")).unwrap().file_type().is_char_device());
        // Docker mounts nothing else there.
        assert_eq!(mounts_on_dev(&container), ["/dev tmpfs"], "{flags:?}");
        container.remove();
    }
    assert_eq!(listing(&dev.0), before);
}

/// Case 8 of the review: it was filled with devices. Whether a program runs in such a container is another matter.
fn an_empty_dev_that_is_mounted_stays_empty(scene: &Scene, kind: Kind) {
    let dev = Dev::empty(scene);
    let run = scene.docker(kind).flags(["-v", &*dev.volume()]).run(kind.either(vec!["/hello.wasm"], vec!["true"]));
    assert_eq!(listing(&dev.0), Vec::<String>::new(), "{run}");
}

fn a_dev_that_is_mounted_has_a_terminal(scene: &Scene, kind: Kind) {
    let dev = Dev::new(scene);
    command("mount").args(["-t", "devpts", "-o", "newinstance,ptmxmode=666", "e2e", &dev.path("pts")]).run();
    let container = start(scene, kind, &["-t", "-v", &dev.volume()]);
    assert_eq!(mounts_on_dev(&container), ["/dev tmpfs", "/dev/console devpts", "/dev/pts devpts"]);
}

/// Case 9 of the review: as Kubernetes' `volumeDevices` has it.
fn a_device_elsewhere_is_there(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let container = start(scene, kind, &["--device", "/dev/zero:/data/disk:r", "--device", "/dev/null:/nothing"]);
        let of = |path: &str| {
            let meta = fs::metadata(container.init().file("root").join(path)).unwrap();
            format!("{path} {:o} {} {} {:x}", meta.mode(), meta.uid(), meta.gid(), meta.rdev())
        };
        let lines = vec![of("data/disk"), of("nothing")];
        container.remove();
        lines
    });
}

fn a_device_in_a_volume_is_there(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let volume = scene.directory().join(scene.name());
        fs::create_dir(&volume).unwrap();
        // The link leads elsewhere in the container, and nowhere on the node.
        std::os::unix::fs::symlink(scene.directory(), volume.join("link")).unwrap();
        let bundle = scene.bundle(kind, &kind.sleeper());
        bundle.configure(|spec| {
            let mount = json!({ "destination": "/v", "type": "bind", "source": volume, "options": ["rbind"] });
            spec["mounts"].as_array_mut().unwrap().push(mount);
            let device =
                |path: &str| json!({ "path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 7 });
            spec["linux"]["devices"] = json!([device("/v/deep/null"), device("/v/link/null"), device("/dev/shm/null")]);
        });
        let shim = bundle.start();
        shim.create().unwrap();
        let root = PathBuf::from(format!("/proc/{}/root", shim.state().unwrap().0));
        let inside = root.join(scene.directory().strip_prefix("/").unwrap());
        let of = |path: PathBuf| {
            let meta = fs::metadata(path).unwrap();
            format!("{:o} {} {:x}", meta.mode(), meta.uid(), meta.rdev())
        };
        let lines = vec![of(volume.join("deep/null")), of(inside.join("null")), of(root.join("dev/shm/null"))];
        assert!(!scene.directory().join("null").exists(), "a device on the node");
        shim.start().unwrap();
        shim.kill(9).unwrap();
        shim.wait().unwrap();
        shim.delete().unwrap();
        lines
    });
}

/// libcontainer leaves it writable for ever.
fn a_dev_that_is_to_be_read_only_is_so(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &kind.sleeper());
    bundle.configure(|spec| {
        for mount in spec["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/dev" {
                mount["options"].as_array_mut().unwrap().push(json!("ro"));
            }
        }
    });
    let shim = bundle.start();
    let pid = shim.create().unwrap().pid;
    let mounts = read(format!("/proc/{pid}/mountinfo"));
    let dev = mounts.lines().find(|line| line.contains(" /dev ")).unwrap();
    assert!(dev.contains(" /dev ro"), "{dev}");
    shim.start().unwrap();
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}
