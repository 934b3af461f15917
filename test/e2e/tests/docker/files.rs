//! What a module can do with the files of its container.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
};

use e2e::{Finished, Kind, Scene, command::read, docker};

/// A directory of the node with the file `file`, owned by `uid`, closed to others.
fn directory(scene: &Scene, name: &str, uid: u32) -> PathBuf {
    let (path, file) = (scene.directory().join(name), scene.directory().join(name).join("file"));
    fs::create_dir(&path).unwrap();
    fs::write(&file, "content\n").unwrap();
    for (path, mode) in [(&path, 0o700), (&file, 0o600)] {
        chown(path, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    path
}

fn files(scene: &Scene, flags: &[&str], words: &[&str]) -> Finished {
    let words = ["/files.wasm"].iter().chain(words).copied();
    scene.docker(Kind::Wasm).flags(flags.iter().copied()).run(words)
}

#[test]
fn files_of_the_image_can_be_read_and_changed() {
    let scene = Scene::new();
    files(&scene, &[], &["read", "/data/greeting"]).exits(0).prints("hello from the image\n");
    let (run, container) = scene.docker(Kind::Wasm).keep(["/files.wasm", "append", "/data/greeting", "more\n"]);
    run.exits(0);
    assert_eq!(container.changed_files(), ["C /data", "C /data/greeting"]);
    let copy = scene.directory().join("copy");
    docker::docker(["cp", &format!("{}:/data/greeting", container.name), &copy.display().to_string()]).run();
    assert_eq!(read(copy), "hello from the image\nmore\n");
}

#[test]
fn directories_can_be_made_listed_renamed_and_removed() {
    let scene = Scene::new();
    let volume = format!("{}:/v", directory(&scene, "volume", 0).display());
    let run = |words: &[&str]| files(&scene, &["-v", &volume], words).exits(0);
    run(&["mkdir", "/v/new"]);
    run(&["rename", "/v/new", "/v/old"]);
    run(&["list", "/v"]).prints("file\nold/\n");
    run(&["remove", "/v/old"]);
    run(&["stat", "/v/file"]);
    run(&["list", "/v"]).prints("file\n");
}

#[test]
fn a_volume_is_shared_with_the_node() {
    let scene = Scene::new();
    let path = directory(&scene, "volume", 0);
    let volume = format!("{}:/deep/in/here", path.display());
    files(&scene, &["-v", &volume], &["read", "/deep/in/here/file"]).exits(0).prints("content\n");
    files(&scene, &["-v", &volume], &["write", "/deep/in/here/new", "text"]).exits(0);
    assert_eq!(read(path.join("new")), "text");
}

#[test]
fn a_named_volume_keeps_what_was_written() {
    let scene = Scene::new();
    let name = scene.name();
    let volume = format!("{name}:/v");
    docker::volume(&name);
    files(&scene, &["-v", &volume], &["write", "/v/file", "kept"]).exits(0);
    files(&scene, &["-v", &volume], &["read", "/v/file"]).exits(0).prints("kept");
}

#[test]
fn a_single_file_can_be_a_volume() {
    let scene = Scene::new();
    let volume = format!("{}/file:/etc/setting", directory(&scene, "volume", 0).display());
    files(&scene, &["-v", &volume], &["read", "/etc/setting"]).exits(0).prints("content\n");
}

#[test]
fn a_read_only_volume_cannot_be_written() {
    let scene = Scene::new();
    let path = directory(&scene, "volume", 0);
    let volume = format!("{}:/v:ro", path.display());
    files(&scene, &["-v", &volume], &["read", "/v/file"]).exits(0).prints("content\n");
    for words in [["write", "/v/file", "x"], ["append", "/v/file", "x"], ["write", "/v/new", "x"]] {
        files(&scene, &["-v", &volume], &words).exits(1).says_in_one_line(&[words[1], "Read-only file system"]);
    }
    files(&scene, &["-v", &volume], &["remove", "/v/file"]).exits(1).says_in_one_line(&["Read-only file system"]);
    assert_eq!((read(path.join("file")), fs::read_dir(path).unwrap().count()), ("content\n".into(), 1));
}

#[test]
fn root_can_use_a_volume_of_another_user_as_under_runc() {
    let scene = Scene::new();
    let path = directory(&scene, "volume", 1000);
    let volume = format!("{}:/v", path.display());
    let flags = ["-v", &volume];
    scene.docker(Kind::Runc).flags(flags).run(["sh", "-c", "echo runc >>/v/file && cat /v/file"]).exits(0);
    files(&scene, &flags, &["append", "/v/file", "wasm\n"]).exits(0);
    files(&scene, &flags, &["read", "/v/file"]).exits(0).prints("content\nrunc\nwasm\n");
    files(&scene, &flags, &["write", "/v/new", "text"]).exits(0);
}

#[test]
fn root_without_capabilities_cannot_use_a_volume_of_another_user_as_under_runc() {
    let scene = Scene::new();
    let volume = format!("{}:/v", directory(&scene, "volume", 1000).display());
    let flags = ["-v", &volume, "--cap-drop", "ALL"];
    scene.docker(Kind::Runc).flags(flags).run(["cat", "/v/file"]).exits(1).says_in_one_line(&["Permission denied"]);
    files(&scene, &flags, &["read", "/v/file"]).exits(1).says_in_one_line(&["/v/file", "Permission denied"]);
}

#[test]
fn the_user_decides_what_can_be_read_and_written() {
    let scene = Scene::new();
    files(&scene, &[], &["read", "/data/secret"]).exits(0).prints("for root alone\n");
    for user in ["1000", "app", "1000:1000"] {
        let run = |words: &[&str]| files(&scene, &["--user", user], words);
        run(&["read", "/data/secret"]).exits(1).says_in_one_line(&["/data/secret", "Permission denied"]);
        run(&["write", "/data/new", "x"]).exits(1).says_in_one_line(&["Permission denied"]);
        run(&["read", "/data/greeting"]).exits(0);
        run(&["write", "/work/new", "x"]).exits(0);
    }
}

#[test]
fn what_a_user_writes_belongs_to_the_user() {
    let scene = Scene::new();
    let path = directory(&scene, "volume", 1000);
    let volume = format!("{}:/v", path.display());
    files(&scene, &["--user", "1000:50", "-v", &volume], &["write", "/v/new", "x"]).exits(0);
    let meta = fs::metadata(path.join("new")).unwrap();
    let owner = (std::os::unix::fs::MetadataExt::uid(&meta), std::os::unix::fs::MetadataExt::gid(&meta));
    assert_eq!(owner, (1000, 50));
}

#[test]
fn a_tmpfs_can_be_written_and_leaves_nothing() {
    let scene = Scene::new();
    let tmpfs = scene.docker(Kind::Wasm).flags(["--tmpfs", "/scratch"]);
    let (run, container) = tmpfs.keep(["/files.wasm", "write", "/scratch/file", "text"]);
    run.exits(0);
    let changed = container.changed_files();
    assert!(!changed.iter().any(|line| line.contains("file")), "{changed:?}");
}

#[test]
fn a_read_only_root_can_be_written_in_its_volumes_only() {
    let scene = Scene::new();
    let volume = format!("{}:/v", directory(&scene, "volume", 0).display());
    let run = |path: &str| files(&scene, &["--read-only", "--tmpfs", "/t", "-v", &volume], &["write", path, "x"]);
    for path in ["/new", "/data/greeting", "/tmp/new"] {
        run(path).exits(1).says_in_one_line(&[path, "Read-only file system"]);
    }
    run("/t/new").exits(0);
    run("/v/new").exits(0);
}

#[test]
fn the_files_that_docker_writes_are_there() {
    let scene = Scene::new();
    let flags = ["--hostname", "guest", "--add-host", "elsewhere:10.1.2.3", "--dns", "10.9.8.7", "--dns-search", "e2e"];
    let hosts = files(&scene, &flags, &["read", "/etc/hosts"]).exits(0);
    assert!(hosts.stdout.contains("10.1.2.3\telsewhere") && hosts.stdout.contains("\tguest"), "{hosts}");
    let resolver = files(&scene, &flags, &["read", "/etc/resolv.conf"]).exits(0);
    assert!(resolver.stdout.contains("nameserver 10.9.8.7") && resolver.stdout.contains("search e2e"), "{resolver}");
    files(&scene, &flags, &["read", "/etc/hostname"]).exits(0).prints("guest\n");
}
