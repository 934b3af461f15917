//! What is refused in a container's configuration, or changed in it, before anything is made: the same for a module as for
//! a Linux program, and as runc does it.

use std::{fs, path::Path};

use containerd_shim_protos::ttrpc::Code;
use e2e::{
    Kind, Scene,
    command::read,
    for_kinds,
    process::Process,
    shim::{Shim, Streams},
};
use serde_json::{Value, json};

for_kinds! {
    a_kernel_parameter_of_the_node_is_refused;
    an_id_that_the_kernel_takes_for_none_is_refused;
    an_exec_with_such_an_id_is_refused;
    a_cgroup_path_does_not_lead_out_of_the_hierarchy;
    a_cgroup_with_processes_is_not_shared;
    a_path_among_the_files_of_a_cgroup_is_refused;
    a_namespace_that_is_named_twice_is_refused;
    what_stands_for_the_kernel_or_the_root_is_not_mounted_over;
    a_dev_that_leads_to_the_node_harms_nothing_there;
    a_root_without_dev_proc_and_sys_is_given_them;
}

fn shim(scene: &Scene, kind: Kind, words: &[&str], change: impl FnOnce(&mut Value)) -> Shim {
    let bundle = scene.bundle(kind, words);
    bundle.configure(change);
    bundle.start()
}

/// Expects that Create fails, here with `cause`; runc's own words are its own.
#[track_caller]
fn expect_refused(scene: &Scene, kind: Kind, cause: &str, change: impl FnOnce(&mut Value)) {
    let shim = shim(scene, kind, &kind.sleeper(), change);
    let (_, message) = shim.create().expect_err("it is to be refused");
    assert!(kind == Kind::Runc || message.contains(cause), "{message}");
    assert!(kind == Kind::Runc || !message.contains('\n'), "{message}");
}

/// Regression test for S7: a module's parameters were written without a look at whose they are.
fn a_kernel_parameter_of_the_node_is_refused(scene: &Scene, kind: Kind) {
    for name in ["kernel.pid_max", "net.ipv4.ip_default_ttl"] {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        // The value that it has: whoever does set it does no harm.
        let value = read(&file);
        expect_refused(scene, kind, name, |spec| {
            spec["linux"]["sysctl"] = json!({ name: value.trim() });
            if name.starts_with("net.") {
                spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|one| one["type"] != "network");
            }
        });
        assert_eq!(read(&file), value);
    }
}

/// Regression test for N1: setresuid(2) takes it for "as it is", which is root.
fn an_id_that_the_kernel_takes_for_none_is_refused(scene: &Scene, kind: Kind) {
    for user in [json!({ "uid": u32::MAX, "gid": 0 }), json!({ "uid": 0, "gid": u32::MAX })] {
        expect_refused(scene, kind, "4294967295", |spec| spec["process"]["user"] = user);
    }
}

/// Regression test for N1.
fn an_exec_with_such_an_id_is_refused(scene: &Scene, kind: Kind) {
    let shim = shim(scene, kind, &kind.sleeper(), |_| ());
    shim.create().unwrap();
    shim.start().unwrap();
    for (number, user) in
        [json!({ "uid": u32::MAX, "gid": 0 }), json!({ "uid": 0, "gid": u32::MAX })].into_iter().enumerate()
    {
        let mut process = shim.bundle().process(&kind.sleeper());
        process["user"] = user;
        let id = format!("exec-{number}");
        shim.exec(&id, &process, &Streams::default()).unwrap();
        let (_, message) = shim.start_exec(&id).expect_err("it is to be refused");
        assert!(kind == Kind::Runc || message.contains("4294967295"), "{message}");
    }
    end(&shim);
}

/// Regression test for N4: such a path was looked for beside the hierarchies.
fn a_cgroup_path_does_not_lead_out_of_the_hierarchy(scene: &Scene, kind: Kind) {
    let name = scene.name();
    let shim = shim(scene, kind, &kind.sleeper(), |spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("/default/../../../{name}"));
    });
    let init = Process::of(shim.create().unwrap().pid.cast_signed()).unwrap();
    let groups = read(init.file("cgroup"));
    assert!(groups.lines().any(|line| line.ends_with(&format!(":/{name}"))), "{groups}");
    assert!(!groups.contains(".."), "{groups}");
    shim.start().unwrap();
    end(&shim);
}

fn a_cgroup_with_processes_is_not_shared(scene: &Scene, kind: Kind) {
    let first = shim(scene, kind, &kind.sleeper(), |_| ());
    first.create().unwrap();
    first.start().unwrap();
    let path = format!("/default/{}", first.id());
    expect_refused(scene, kind, "cgroup is not empty", |spec| spec["linux"]["cgroupsPath"] = json!(path));
    assert!(Process::of(first.state().unwrap().0.cast_signed()).is_some_and(|init| init.lives()));
    end(&first);
}

/// Regression test for S12: the key was joined to the cgroup's directory.
fn a_path_among_the_files_of_a_cgroup_is_refused(scene: &Scene, kind: Kind) {
    let outside = scene.directory().join("outside");
    fs::write(&outside, "old").unwrap();
    let key = format!("../../../../../../..{}", outside.display());
    let change = |spec: &mut Value| spec["linux"]["resources"] = json!({ "unified": { key: "new" } });
    expect_refused(scene, kind, "linux.resources.unified", change);
    assert_eq!(read(&outside), "old");
}

fn a_namespace_that_is_named_twice_is_refused(scene: &Scene, kind: Kind) {
    expect_refused(scene, kind, "linux.namespaces has ipc twice", |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "ipc" }));
    });
}

/// A volume in the place of `/proc` could answer for the kernel (CVE-2019-16884), and one in the place of the root could
/// have a `/dev` that leads elsewhere.
fn what_stands_for_the_kernel_or_the_root_is_not_mounted_over(scene: &Scene, kind: Kind) {
    let volume = scene.directory().join("volume");
    fs::create_dir(&volume).unwrap();
    for (place, cause) in [
        ("/", "the root filesystem itself"),
        ("/bin/..", "the root filesystem itself"),
        ("/proc", "not of type proc"),
        ("/proc/self", "inside /proc"),
        ("/to-proc", "not of type proc"),
    ] {
        let bundle = scene.bundle(kind, &kind.sleeper());
        std::os::unix::fs::symlink("/proc", bundle.path("rootfs/to-proc")).unwrap();
        bundle.configure(|spec| {
            let mount = json!({ "destination": place, "type": "bind", "source": volume, "options": ["rbind"] });
            spec["mounts"].as_array_mut().unwrap().push(mount);
        });
        let shim = bundle.start();
        let (_, message) = shim.create().expect_err(place);
        assert!(kind == Kind::Runc || message.contains(cause), "{place}: {message}");
    }
}

/// Regression test for S8: libcontainer makes links in `/dev` by paths of the node, and removes `ptmx` there. runc follows
/// such a link in the container, here it is refused.
fn a_dev_that_leads_to_the_node_harms_nothing_there(scene: &Scene, kind: Kind) {
    let victim = scene.directory().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("ptmx"), "precious").unwrap();
    let spellings = [
        (victim.clone(), victim.clone()),
        (Path::new("/proc/self/root").join(victim.strip_prefix("/").unwrap()), victim.clone()),
        (Path::new("/x/../../../../..").join(victim.strip_prefix("/").unwrap()), victim.clone()),
    ];
    for (link, inside) in spellings {
        let bundle = scene.bundle(kind, &kind.either(vec!["/hello.wasm"], vec!["true"]));
        let root = bundle.path("rootfs");
        fs::remove_dir_all(root.join("dev"))
            .or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })
            .unwrap();
        // The same directories inside, so that the link leads somewhere there, too.
        fs::create_dir_all(root.join(inside.strip_prefix("/").unwrap())).unwrap();
        if link.starts_with("/proc") {
            fs::create_dir_all(root.join(link.strip_prefix("/").unwrap())).unwrap();
        }
        std::os::unix::fs::symlink(&link, root.join("dev")).unwrap();
        let shim = bundle.start();
        match (kind, shim.create()) {
            (Kind::Runc, Ok(_)) => {
                shim.kill(9).unwrap();
                shim.wait().unwrap();
                shim.delete().unwrap();
            }
            (Kind::Runc, Err(_)) => {}
            (_, created) => {
                let (_, message) = created.expect_err("it is to be refused");
                assert!(message.contains("/dev of the root filesystem is a link"), "{message}");
            }
        }
        assert_eq!(read(victim.join("ptmx")), "precious");
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);
    }
}

fn a_root_without_dev_proc_and_sys_is_given_them(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &kind.either(vec!["/hello.wasm"], vec!["test", "-c", "/dev/null"]));
    for name in ["dev", "proc", "sys"] {
        let _ = fs::remove_dir_all(bundle.path("rootfs").join(name));
    }
    let shim = bundle.start();
    shim.create().unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
}

fn end(shim: &Shim) {
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}

/// An update is looked at as well.
#[test]
fn an_update_names_files_of_the_cgroup_only() {
    let scene = Scene::new();
    let shim = shim(&scene, Kind::Wasm, &Kind::Wasm.sleeper(), |_| ());
    shim.create().unwrap();
    shim.start().unwrap();
    let (code, message) = shim.update(&json!({ "unified": { "../x": "1" } })).unwrap_err();
    assert!(code == Code::INVALID_ARGUMENT && message.contains("linux.resources.unified"), "{code:?} {message}");
    end(&shim);
}
