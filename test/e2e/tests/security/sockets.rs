//! The sockets of the shim and the host are root's alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use e2e::{Finished, Kind, Scene, command, engine};

const NOBODY: u32 = 65534;

/// Connects to the socket at `path` as `user` and waits for what comes, the end of the connection at the latest.
fn connect(path: &Path, user: u32) -> Finished {
    let address = format!("UNIX-CONNECT:{},type=5", path.display());
    command("socat").args(["-t", "1", "-T", "1", "-u", &address, "-"]).user(user).finish()
}

#[test]
fn the_state_directory_is_closed_to_others() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]).says("sleeping");
    let mut folders = vec![Path::new(engine::STATE).to_owned()];
    while let Some(folder) = folders.pop() {
        let meta = fs::metadata(&folder).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (0, 0), "{}", folder.display());
        let depth = folder.strip_prefix(engine::STATE).unwrap().components().count();
        // Whoever cannot pass the first cannot reach the others.
        assert!(
            depth > 0 || meta.permissions().mode() & 0o777 == 0o700,
            "{} has mode {:o}",
            folder.display(),
            meta.mode()
        );
        let entries = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
        folders.extend(entries.filter(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())));
    }
}

#[test]
fn another_user_does_not_get_to_the_host_s_socket() {
    let scene = Scene::new();
    let socket = engine::socket();
    connect(&socket, NOBODY).fails().says_in_one_line(&["Permission denied"]);
    drop(scene);
}

#[test]
fn another_user_who_gets_to_the_socket_is_turned_away() {
    let scene = Scene::new();
    let socket = engine::socket();
    let open = scene.directory().join("open.sock");
    fs::write(&open, "").unwrap();
    command("mount").args(["--bind", &socket.display().to_string(), &open.display().to_string()]).run();
    let mode = fs::metadata(&socket).unwrap().permissions();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let (nobody, root) = (connect(&open, NOBODY), connect(&open, 0));
    fs::set_permissions(&socket, mode).unwrap();
    command("umount").arg(open.display().to_string()).run();
    // Root's connection stays open until socat gives up; nobody's is closed by the host.
    assert!(nobody.stdout.is_empty(), "{nobody}");
    assert!(nobody.took < root.took, "the host left the connection open\n{nobody}\n{root}");
    let log = engine::log();
    assert!(log.contains(&format!("user {NOBODY}")), "the log does not tell of the refusal:\n{log}");
}

#[test]
fn the_shim_s_socket_is_closed_to_others() {
    let scene = Scene::new();
    scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]).says("sleeping");
    let shim = engine::shims().remove(0);
    let unix = e2e::command::read("/proc/net/unix");
    let inodes: Vec<String> = shim.descriptors().into_iter().map(|(_, target)| target).collect();
    let mut listening = 0;
    for line in unix.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (Some(inode), Some(path)) = (fields.get(6), fields.get(7)) else { continue };
        if !inodes.contains(&format!("socket:[{inode}]")) || fields[3] != "00010000" {
            continue;
        }
        listening += 1;
        assert!(path.starts_with("/run/containerd/s/"), "the shim listens on {path}");
        let address = format!("UNIX-CONNECT:{path}");
        let nobody = command("socat").args(["-T", "1", "-u", &address, "-"]).user(NOBODY).finish();
        nobody.fails().says_in_one_line(&["Permission denied"]);
    }
    assert_eq!(listening, 1, "{inodes:?}");
}

#[test]
fn a_connection_that_talks_nonsense_does_not_harm_the_host() {
    let scene = Scene::new();
    let (host, socket) = (engine::running_host(), engine::socket());
    let address = format!("UNIX-CONNECT:{},type=5", socket.display());
    for nonsense in [&b""[..], b"\xff\xff\xff\xff", &[0; 60_000], b"GET / HTTP/1.1\r\n\r\n"] {
        command("socat").args(["-t", "1", "-", &address]).input(nonsense).finish();
    }
    assert!(host.lives());
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
    assert_eq!(engine::running_host(), host);
}
