//! A node on which something of the product is missing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use e2e::{Kind, Scene, command, engine, until};

/// A file of the node that is out of the way until this is dropped.
struct Missing {
    path: PathBuf,
    elsewhere: PathBuf,
}

impl Missing {
    fn new(path: &Path) -> Self {
        let mut elsewhere = path.as_os_str().to_owned();
        elsewhere.push(".e2e");
        fs::rename(path, &elsewhere).unwrap();
        Self { path: path.to_owned(), elsewhere: elsewhere.into() }
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        fs::rename(&self.elsewhere, &self.path).expect("putting a file of the node back");
    }
}

/// The library, by its real name.
fn libwasmedge() -> PathBuf {
    let link = command("sh").args(["-c", "ls -d /usr/lib/*/libwasmedge.so.0"]).run();
    fs::canonicalize(link.stdout.trim()).unwrap()
}

#[test]
fn a_missing_engine_is_named() {
    let scene = Scene::new();
    {
        let _missing = Missing::new(Path::new(engine::BINARY));
        engine::kill_hosts();
        scene.docker(Kind::Wasm).run(["/hello.wasm"]).fails().says_in_one_line(&["wasmedge-engine", engine::BINARY]);
    }
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}

#[test]
fn a_missing_libwasmedge_is_named() {
    let scene = Scene::new();
    {
        let _missing = Missing::new(&libwasmedge());
        engine::kill_hosts();
        scene.docker(Kind::Wasm).run(["/hello.wasm"]).fails().says_in_one_line(&["libwasmedge.so"]);
    }
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}

#[test]
fn an_engine_that_is_no_program_is_named() {
    let scene = Scene::new();
    {
        let _missing = Missing::new(Path::new(engine::BINARY));
        engine::kill_hosts();
        fs::write(engine::BINARY, "no program\n").unwrap();
        fs::set_permissions(engine::BINARY, fs::Permissions::from_mode(0o755)).unwrap();
        scene.docker(Kind::Wasm).run(["/hello.wasm"]).fails().says_in_one_line(&[engine::BINARY]);
    }
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}

#[test]
fn a_container_is_removed_even_when_the_engine_is_missing() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    let init = container.says("sleeping").init();
    {
        let _missing = Missing::new(Path::new(engine::BINARY));
        container.stop();
        assert_eq!(container.exit_code(), 143);
        until("the end of the container", || (!init.lives()).then_some(()));
    }
    container.docker(["start"]);
}

#[test]
fn a_node_s_directory_that_others_can_write_is_closed_before_use() {
    let scene = Scene::new();
    engine::kill_hosts();
    fs::set_permissions(engine::STATE, fs::Permissions::from_mode(0o777)).unwrap();
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
    assert_eq!(fs::metadata(engine::STATE).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_full_disk_is_named() {
    let scene = Scene::new();
    // The state directory is on a tmpfs; over it one that holds next to nothing.
    let mount = |words: &[&str]| command("mount").args(words.iter().copied()).run();
    let containers = format!("{}/containers", engine::STATE);
    mount(&["-t", "tmpfs", "-o", "size=4k,mode=700", "e2e", &containers]);
    let run = scene.docker(Kind::Wasm).run(["/hello.wasm"]);
    command("umount").arg(&containers).run();
    run.fails().says_in_one_line(&[&containers, "No space left on device"]);
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}
