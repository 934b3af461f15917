//! Which namespaces a container has of its own and which it shares.

use std::{fs, os::unix::fs::MetadataExt};

use e2e::{Kind, Scene, command::read, docker::Container, expect_as_under_runc, for_kinds, process::Process};
use serde_json::json;

for_kinds! {
    a_container_has_the_namespaces_it_has_under_runc;
    the_node_s_pid_namespace_is_shared;
    the_node_s_ipc_namespace_is_shared;
    the_node_s_uts_namespace_is_shared;
    the_node_s_network_is_shared;
    a_container_without_a_network_has_none;
    a_cgroup_namespace_is_private_or_the_node_s;
    another_container_s_pid_namespace_is_shared;
    another_container_s_ipc_namespace_is_shared;
    another_container_s_network_is_shared;
    a_container_in_a_shared_pid_namespace_is_stopped_alone;
    a_user_namespace_maps_the_users;
    a_file_in_a_user_namespace_belongs_to_the_mapped_user;
    an_exec_in_a_user_namespace_is_mapped_too;
    a_mount_is_mapped_to_a_user_namespace;
    // runc 1.3 refuses those of a user namespace, runc 1.4 sets them.
    a_kernel_parameter_of_a_user_namespace_is_the_container_s_own: Wasm Linux;
    a_namespace_by_its_path_is_joined;
}

const NAMES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// For each namespace of a process whether it is the node's, another container's or its own.
fn namespaces(process: &Process, other: Option<&Process>) -> Vec<String> {
    let node = Process::of(std::process::id().cast_signed()).expect("this process");
    let whose = |name: &str| {
        let its = process.namespace(name).expect("a namespace");
        if node.namespace(name).is_ok_and(|node| node == its) {
            "the node's"
        } else if other.is_some_and(|other| other.namespace(name).is_ok_and(|other| other == its)) {
            "the other container's"
        } else {
            "its own"
        }
    };
    NAMES.map(|name| format!("{name}: {}", whose(name))).into()
}

fn start(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    let container = scene.docker(kind).flags(flags.iter().copied()).detach(kind.sleeper());
    container.says("sleeping");
    container
}

fn expect_the_same(scene: &Scene, kind: Kind, flags: &[&str], shared: Option<&str>) {
    expect_as_under_runc(kind, |kind| {
        let whose = namespaces(&start(scene, kind, flags).init(), None);
        if let Some(name) = shared {
            assert!(whose.contains(&format!("{name}: the node's")), "{whose:?}");
        }
        whose
    });
}

fn a_container_has_the_namespaces_it_has_under_runc(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &[], None);
}

fn the_node_s_pid_namespace_is_shared(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--pid=host"], Some("pid"));
}

fn the_node_s_ipc_namespace_is_shared(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--ipc=host"], Some("ipc"));
}

fn the_node_s_uts_namespace_is_shared(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--uts=host"], Some("uts"));
}

fn the_node_s_network_is_shared(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--network=host"], Some("net"));
}

fn a_container_without_a_network_has_none(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--network=none"], None);
    let devices = read(start(scene, kind, &["--network=none"]).init().file("net/dev"));
    let names: Vec<_> = devices.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    assert_eq!(names, ["lo"]);
}

fn a_cgroup_namespace_is_private_or_the_node_s(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--cgroupns=private"], None);
    expect_the_same(scene, kind, &["--cgroupns=host"], Some("cgroup"));
}

/// Shares a namespace of a container under runc, and of one under this runtime.
fn expect_shared_with_another(scene: &Scene, kind: Kind, flag: &str, name: &str) {
    for other_kind in [Kind::Runc, kind] {
        let other = start(scene, other_kind, &["--ipc=shareable"]);
        let flags = [format!("--{flag}=container:{}", other.name)];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        expect_as_under_runc(kind, |kind| {
            let whose = namespaces(&start(scene, kind, &flags).init(), Some(&other.init()));
            assert!(whose.contains(&format!("{name}: the other container's")), "{whose:?}");
            whose
        });
    }
}

fn another_container_s_pid_namespace_is_shared(scene: &Scene, kind: Kind) {
    expect_shared_with_another(scene, kind, "pid", "pid");
}

fn another_container_s_ipc_namespace_is_shared(scene: &Scene, kind: Kind) {
    expect_shared_with_another(scene, kind, "ipc", "ipc");
}

fn another_container_s_network_is_shared(scene: &Scene, kind: Kind) {
    expect_shared_with_another(scene, kind, "network", "net");
}

fn a_container_in_a_shared_pid_namespace_is_stopped_alone(scene: &Scene, kind: Kind) {
    let other = start(scene, Kind::Runc, &[]);
    let container = start(scene, kind, &[&format!("--pid=container:{}", other.name)]);
    let init = container.init();
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    assert!(!init.lives() && other.init().lives());
}

/// A bundle whose root is 100000 outside and whose root file system belongs to that user.
fn mapped_bundle(scene: &Scene, kind: Kind, words: &[&str]) -> e2e::shim::Bundle {
    let bundle = scene.bundle(kind, words);
    e2e::command("chown").args(["-R", "-h", "100000:100000", &bundle.path("rootfs").display().to_string()]).run();
    // The way to the root file system is closed to users other than root.
    e2e::command("chmod").args(["0711", &bundle.path("").display().to_string()]).run();
    bundle.configure(|spec| {
        let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
        spec["linux"]["uidMappings"] = mapping.clone();
        spec["linux"]["gidMappings"] = mapping;
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    });
    bundle
}

fn a_user_namespace_maps_the_users(scene: &Scene, kind: Kind) {
    let shim = mapped_bundle(scene, kind, &kind.sleeper()).start();
    let pid = shim.create().unwrap().pid;
    shim.start().unwrap();
    let init = Process::of(pid.cast_signed()).unwrap();
    let map = read(init.file("uid_map"));
    assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "100000", "65536"]);
    assert_eq!(init.status("Uid"), "100000\t100000\t100000\t100000");
    assert_eq!(init.status("Gid"), "100000\t100000\t100000\t100000");
    super::exec_api::end(&shim);
}

/// Words that make a file.
fn touch(kind: Kind, path: &str) -> Vec<&str> {
    kind.either(vec!["/files.wasm", "write", path, ""], vec!["touch", path])
}

fn a_file_in_a_user_namespace_belongs_to_the_mapped_user(scene: &Scene, kind: Kind) {
    let shim = mapped_bundle(scene, kind, &touch(kind, "/tmp/made")).start();
    shim.create().unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    let made = fs::metadata(shim.bundle().path("rootfs/tmp/made")).expect("the file that was made");
    assert_eq!((made.uid(), made.gid()), (100_000, 100_000));
    shim.delete().unwrap();
}

fn an_exec_in_a_user_namespace_is_mapped_too(scene: &Scene, kind: Kind) {
    let shim = mapped_bundle(scene, kind, &kind.sleeper()).start();
    shim.create().unwrap();
    shim.start().unwrap();
    let process = shim.bundle().process(&kind.sleeper());
    shim.exec("one", &process, &e2e::shim::Streams::default()).unwrap();
    let exec = Process::of(shim.start_exec("one").unwrap().cast_signed()).unwrap();
    let init = Process::of(shim.state().unwrap().0.cast_signed()).unwrap();
    assert_eq!(exec.status("Uid"), "100000\t100000\t100000\t100000");
    assert_eq!(exec.namespace("user").unwrap(), init.namespace("user").unwrap());
    super::exec_api::end(&shim);
}

fn a_mount_is_mapped_to_a_user_namespace(scene: &Scene, kind: Kind) {
    let outside = scene.directory().join("outside");
    fs::create_dir(&outside).unwrap();
    let bundle = mapped_bundle(scene, kind, &touch(kind, "/mapped/made"));
    bundle.configure(|spec| {
        // What the container's root, which is 100000, makes is root's outside.
        let mapping = spec["linux"]["uidMappings"].clone();
        spec["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/mapped",
            "type": "bind",
            "source": outside,
            "options": ["rbind", "rw"],
            "uidMappings": mapping,
            "gidMappings": mapping,
        }));
    });
    let shim = bundle.start();
    shim.create().unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    let made = fs::metadata(outside.join("made")).expect("the file that was made");
    assert_eq!((made.uid(), made.gid()), (0, 0));
    shim.delete().unwrap();
}

fn a_kernel_parameter_of_a_user_namespace_is_the_container_s_own(scene: &Scene, kind: Kind) {
    let file = "/proc/sys/user/max_net_namespaces";
    let before = read(file);
    let value = before.trim().parse::<u64>().unwrap() - 1;
    let bundle = mapped_bundle(scene, kind, &kind.sleeper());
    bundle.configure(|spec| {
        spec["linux"]["sysctl"] =
            json!({ "user.max_net_namespaces": value.to_string(), "net.ipv4.ip_default_ttl": "77", "kernel.msgmax": "4321" });
    });
    let shim = bundle.start();
    let pid = shim.create().unwrap().pid.to_string();
    let inside = |kind: &str, file: &str| {
        let enter = e2e::command("nsenter").args(["--target", &pid, kind, "cat", file]);
        enter.run().stdout.trim().to_owned()
    };
    assert_eq!(inside("--user", file), value.to_string());
    assert_eq!(inside("--net", "/proc/sys/net/ipv4/ip_default_ttl"), "77");
    assert_eq!(inside("--ipc", "/proc/sys/kernel/msgmax"), "4321");
    assert_eq!(read(file), before);
    shim.start().unwrap();
    super::exec_api::end(&shim);
}

fn a_namespace_by_its_path_is_joined(scene: &Scene, kind: Kind) {
    let other = start(scene, Kind::Runc, &["--network=none"]).init();
    let bundle = scene.bundle(kind, &kind.sleeper());
    bundle.configure(|spec| {
        for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            if let Some(name) = ["network", "ipc", "uts"].iter().find(|name| namespace["type"] == **name) {
                let file = if *name == "network" { "net" } else { name };
                namespace["path"] = json!(other.file(&format!("ns/{file}")));
            }
        }
    });
    let shim = bundle.start();
    let pid = shim.create().unwrap().pid;
    let init = Process::of(pid.cast_signed()).unwrap();
    let whose = namespaces(&init, Some(&other));
    for name in ["net", "ipc", "uts"] {
        assert!(whose.contains(&format!("{name}: the other container's")), "{whose:?}");
    }
    assert!(whose.contains(&"pid: its own".into()), "{whose:?}");
    shim.start().unwrap();
    super::exec_api::end(&shim);
}
