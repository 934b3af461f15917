//! What a container is not given of the node's devices stays shut, though it is root there and may make their nodes.

use std::{fs, os::unix::fs::MetadataExt};

use e2e::{
    Kind, Scene,
    command::read,
    docker::{Container, docker},
};
use nix::sys::stat::{major, minor};

/// Of this runtime and, to prove the test, of runc.
const KINDS: [Kind; 2] = [Kind::Linux, Kind::Runc];

/// A device that every kernel has, that Docker does not give by itself, and that opens without a capability.
const GIVEN: &str = "/dev/cpu_dma_latency";

/// What mknod takes to make a disk of the node. It is never written to.
fn disk() -> String {
    let partitions = read("/proc/partitions");
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        Some((fields.next()?.parse::<u32>().ok()?, fields.next()?.parse::<u32>().ok()?))
    };
    let (major, minor) = partitions.lines().find_map(parse).expect("the node has a disk");
    format!("b {major} {minor}")
}

fn sleeping(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    scene.docker(kind).flags(flags.iter().copied()).detach(kind.sleeper()).says("sleeping").clone()
}

/// Expects that the container's device opens for `mode`, a redirection of the shell, or that it is not permitted.
#[track_caller]
fn expect(container: &Container, device: &str, mode: &str, permitted: bool) {
    let run = container.exec(&[], ["sh", "-c", &format!("exec 3{mode}{device}")]).finish();
    if permitted {
        run.exits(0);
    } else {
        run.exits(1).says_in_one_line(&[device, "Operation not permitted"]);
    }
}

/// Makes the device's file in the container, which Docker's capabilities allow.
fn make(container: &Container, device: &str) {
    container.exec(&[], ["sh", "-c", &format!("rm -f /made; mknod /made {device}")]).run();
}

#[test]
fn a_device_that_was_not_given_does_not_open() {
    let scene = Scene::new();
    let disk = disk();
    for kind in KINDS {
        let container = sleeping(&scene, kind, &[]);
        // The disk, the memory, the kernel's log, a loop device.
        for device in [&*disk, "c 1 1", "c 1 11", "b 7 0"] {
            make(&container, device);
            expect(&container, "/made", "<", false);
        }
        // One that everybody is given shows that files made there work: /dev/zero.
        make(&container, "c 1 5");
        expect(&container, "/made", "<>", true);
    }
}

#[test]
fn a_device_that_was_given_to_read_is_not_written_to() {
    let scene = Scene::new();
    // Not the disk, which a node in a container may not open either.
    let numbers = fs::metadata(GIVEN).expect("the node has the device").rdev();
    let again = format!("mknod /again c {} {} && exec 3<>/again", major(numbers), minor(numbers));
    for kind in KINDS {
        let container = sleeping(&scene, kind, &["--device", &format!("{GIVEN}:/dev/given:r")]);
        make(&container, "c 1 5");
        expect(&container, "/made", "<>", true);
        expect(&container, "/dev/given", "<", true);
        expect(&container, "/dev/given", "<>", false);
        // Nor by another file.
        let refused = container.exec(&[], ["sh", "-c", &again]).finish();
        assert_ne!(refused.code, 0, "{refused}");
        assert!(refused.stderr.contains("Operation not permitted"), "{refused}");
    }
}

#[test]
fn an_update_gives_no_device() {
    let scene = Scene::new();
    let disk = disk();
    for kind in KINDS {
        let container = sleeping(&scene, kind, &[]);
        docker(["update", "--pids-limit", "50", "--cpus", "0.5", &container.name]).run();
        make(&container, &disk);
        expect(&container, "/made", "<", false);
        make(&container, "c 1 5");
        expect(&container, "/made", "<>", true);
    }
}
