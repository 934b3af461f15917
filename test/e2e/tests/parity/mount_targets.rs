//! What mounts cover: directories with a mode of their own, links to what is not there.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
};

use e2e::{Kind, Scene, command::read, expect_as_under_runc, for_kinds, shim::Bundle};
use serde_json::{Value, json};

for_kinds! {
    a_file_system_in_memory_has_the_mode_of_what_it_covers;
    a_file_is_mounted_on_a_link_to_nothing;
    a_directory_is_mounted_on_a_link_to_nothing;
    links_are_followed_through_mounts_that_came_before;
    a_mount_below_a_read_only_file_system_in_memory_is_made;
}

/// What a process in the container of `bundle` sees at `paths`: kind and mode, owner, and what a file says.
fn seen(bundle: Bundle, paths: &[&str]) -> Vec<String> {
    let shim = bundle.start();
    if let Err((_, message)) = shim.create() {
        panic!("{message}");
    }
    let root = format!("/proc/{}/root", shim.state().unwrap().0);
    let of = |path: &&str| {
        // Followed as inside: there is no link to follow in the paths that are asked for.
        let place = format!("{root}{path}");
        let meta = fs::symlink_metadata(&place).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = if meta.is_file() { read(&place) } else { String::new() };
        format!("{path} {:o} {}:{} {text}", meta.mode(), meta.uid(), meta.gid())
    };
    let lines = paths.iter().map(of).collect();
    shim.start().unwrap();
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
    lines
}

fn add_mounts(bundle: &Bundle, mounts: Value) {
    bundle.configure(|spec| {
        spec["mounts"].as_array_mut().unwrap().extend(mounts.as_array().unwrap().iter().cloned());
    });
}

fn tmpfs(place: &str, options: &[&str]) -> Value {
    json!({ "destination": place, "type": "tmpfs", "source": "tmpfs", "options": options })
}

/// Case 16 of the review: it was writable for all.
fn a_file_system_in_memory_has_the_mode_of_what_it_covers(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let bundle = scene.bundle(kind, &kind.sleeper());
        for (name, mode, owner) in [("secret", 0o700, 0), ("cache", 0o755, 1000), ("sticky", 0o3770, 7)] {
            let path = bundle.path("rootfs").join(name);
            fs::create_dir(&path).unwrap();
            chown(&path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("secret", bundle.path("rootfs/link")).unwrap();
        let mounts = [
            tmpfs("/cache", &["nosuid"]),
            tmpfs("/sticky", &[]),
            tmpfs("/new", &[]),
            tmpfs("/link", &[]),
            tmpfs("/tmp", &["mode=0750", "uid=5"]),
        ];
        add_mounts(&bundle, json!(mounts));
        seen(bundle, &["/secret", "/cache", "/sticky", "/new", "/tmp"])
    });
}

/// Case 17 of the review: `/etc/localtime` of an image without a time zone.
fn a_file_is_mounted_on_a_link_to_nothing(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let file = scene.directory().join("file");
        fs::write(&file, "of the node\n").unwrap();
        let bundle = scene.bundle(kind, &kind.sleeper());
        let root = bundle.path("rootfs");
        fs::create_dir_all(root.join("etc")).unwrap();
        let _ = fs::remove_file(root.join("etc/localtime"));
        symlink("/usr/share/zoneinfo/Asia/Shanghai", root.join("etc/localtime")).unwrap();
        symlink("../made/relative", root.join("etc/relative")).unwrap();
        symlink("/../../../../outside", root.join("etc/outside")).unwrap();
        let bind =
            |place: &str| json!({ "destination": place, "type": "bind", "source": file, "options": ["rbind", "ro"] });
        add_mounts(&bundle, json!([bind("/etc/localtime"), bind("/etc/relative"), bind("/etc/outside")]));
        seen(bundle, &["/usr/share/zoneinfo/Asia/Shanghai", "/made/relative", "/outside"])
    });
}

fn a_directory_is_mounted_on_a_link_to_nothing(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let directory = scene.directory().join("directory");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("file"), "of the node\n").unwrap();
        let bundle = scene.bundle(kind, &kind.sleeper());
        let root = bundle.path("rootfs");
        fs::create_dir_all(root.join("var")).unwrap();
        symlink("/mnt/data", root.join("to-data")).unwrap();
        symlink("/run2", root.join("var/run2")).unwrap();
        symlink("/tmp/run2", root.join("run2")).unwrap();
        let bind =
            |place: &str| json!({ "destination": place, "type": "bind", "source": directory, "options": ["rbind"] });
        add_mounts(&bundle, json!([bind("/to-data"), bind("/var/run2/deep")]));
        seen(bundle, &["/mnt/data/file", "/tmp/run2/deep/file"])
    });
}

fn links_are_followed_through_mounts_that_came_before(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let (volume, file) = (scene.directory().join(scene.name()), scene.directory().join("text"));
        fs::create_dir(&volume).unwrap();
        fs::write(&file, "of the node\n").unwrap();
        symlink("/elsewhere/file", volume.join("link")).unwrap();
        let bundle = scene.bundle(kind, &kind.sleeper());
        let bind = |place: &str, source: &std::path::Path| json!({ "destination": place, "type": "bind", "source": source, "options": ["rbind"] });
        add_mounts(&bundle, json!([tmpfs("/elsewhere", &[]), bind("/v", &volume), bind("/v/link", &file)]));
        let lines = seen(bundle, &["/elsewhere/file"]);
        assert!(fs::symlink_metadata(volume.join("link")).unwrap().is_symlink());
        lines
    });
}

/// libcontainer makes it read-only at once, with no place in it for the other.
fn a_mount_below_a_read_only_file_system_in_memory_is_made(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let file = scene.directory().join("inner");
        fs::write(&file, "of the node\n").unwrap();
        let bundle = scene.bundle(kind, &kind.sleeper());
        let bind = json!({ "destination": "/outer/file", "type": "bind", "source": file, "options": ["rbind"] });
        add_mounts(&bundle, json!([tmpfs("/outer", &["ro", "mode=0755"]), bind]));
        seen(bundle, &["/outer", "/outer/file"])
    });
}
