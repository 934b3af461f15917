//! Files that an image, a volume or a spec names: only regular ones are opened, and no more is read than there is use for.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, time::Instant};

use e2e::{
    Kind, Scene, command, for_kinds,
    shim::{Bundle, Shim, Streams},
    wait::patient,
};
use serde_json::json;

for_kinds! {
    a_passwd_file_that_is_a_device_or_endless_harms_nobody;
    a_fifo_as_entrypoint_is_refused_at_once: Wasm Linux;
    a_device_as_entrypoint_is_refused: Wasm Linux;
    a_fifo_as_the_source_of_the_entrypoint_s_mount_is_refused_at_once: Wasm Linux;
}

fn seconds(count: u64) -> std::time::Duration {
    patient(std::time::Duration::from_secs(count))
}

fn node(path: &Path, arguments: &[&str]) {
    let _ = fs::remove_file(path);
    command("mknod").arg(path.display().to_string()).args(arguments.iter().copied()).run();
}

fn greeting(kind: Kind) -> &'static [&'static str] {
    kind.either(&["/hello.wasm"], &["/bin/echo", "hi"])
}

/// To the end of the container, whose program ends with 0.
#[track_caller]
fn run_to_the_end(shim: &Shim) {
    shim.create().expect("creating it");
    shim.start().expect("starting it");
    assert_eq!(shim.wait(), Ok(0));
    shim.delete().expect("deleting it");
}

/// Regression test for S2: the file was read whole by a process of the node. The environment names no home directory.
fn a_passwd_file_that_is_a_device_or_endless_harms_nobody(scene: &Scene, kind: Kind) {
    let make: [fn(&Path); 3] = [
        |path| node(path, &["c", "1", "5"]),
        |path| node(path, &["p"]),
        |path| fs::File::create(path).unwrap().set_len(3 << 30).unwrap(),
    ];
    for (number, make) in make.into_iter().enumerate() {
        // runc waits for a writer, too.
        if kind == Kind::Runc && number == 1 {
            continue;
        }
        let bundle = scene.bundle(kind, greeting(kind));
        fs::create_dir_all(bundle.path("rootfs/etc")).unwrap();
        make(&bundle.path("rootfs/etc/passwd"));
        let begin = Instant::now();
        run_to_the_end(&bundle.start());
        assert!(begin.elapsed() < seconds(10), "{:?}", begin.elapsed());
    }
}

#[track_caller]
fn expect_refused_soon(bundle: Bundle, cause: &str) {
    let shim = bundle.start();
    let begin = Instant::now();
    let (_, message) = shim.create().expect_err("it is to be refused");
    assert!(begin.elapsed() < seconds(5), "{:?}: {message}", begin.elapsed());
    assert!(message.contains("permission denied") && message.contains(cause), "{message}");
}

/// Regression test for S4: the init opened it, and waited for ever.
fn a_fifo_as_entrypoint_is_refused_at_once(scene: &Scene, kind: Kind) {
    let name = kind.either("/fifo.wasm", "/fifo");
    let bundle = scene.bundle(kind, &[name]);
    node(&bundle.path(&format!("rootfs{name}")), &["p"]);
    expect_refused_soon(bundle, "a FIFO, not a regular file");
}

/// Regression test for S3: it was opened by a process of the node, which may open any.
fn a_device_as_entrypoint_is_refused(scene: &Scene, kind: Kind) {
    let name = kind.either("/device.wasm", "/device");
    let bundle = scene.bundle(kind, &[name]);
    // What is opened for reading only would be told by this one: a terminal's end.
    node(&bundle.path(&format!("rootfs{name}")), &["c", "5", "2"]);
    let terminals = || fs::read_dir("/dev/pts").unwrap().count();
    let before = terminals();
    expect_refused_soon(bundle, "a character device, not a regular file");
    assert_eq!(terminals(), before);
}

/// Regression test for S4, by a volume: the worker opened it, and waited for ever.
fn a_fifo_as_the_source_of_the_entrypoint_s_mount_is_refused_at_once(scene: &Scene, kind: Kind) {
    let name = kind.either("/app.wasm", "/app");
    let bundle = scene.bundle(kind, &[name]);
    let fifo = scene.directory().join("fifo");
    node(&fifo, &["p"]);
    bundle.configure(|spec| {
        let mount = json!({ "destination": name, "type": "bind", "source": fifo, "options": ["rbind", "ro"] });
        spec["mounts"].as_array_mut().unwrap().push(mount);
    });
    expect_refused_soon(bundle, "a FIFO, not a regular file");
}

/// Regression test for S2: a module of any size was hashed and read by a process of the node.
#[test]
fn a_module_of_gigabytes_is_refused_at_once() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Linux, &["/bin/sleep", "600"]).start();
    shim.create().expect("creating it");
    shim.start().expect("starting it");
    let big = shim.bundle().path("rootfs/big.wasm");
    fs::write(&big, b"\0asm\x01\0\0\0").unwrap();
    fs::OpenOptions::new().write(true).custom_flags(0).open(&big).unwrap().set_len(3 << 30).unwrap();
    shim.exec("e", &shim.bundle().process(&["/big.wasm"]), &Streams::default()).expect("an exec");
    let begin = Instant::now();
    let (_, message) = shim.start_exec("e").expect_err("it is to be refused");
    assert!(begin.elapsed() < seconds(5), "{:?}: {message}", begin.elapsed());
    assert!(message.contains("3221225472 bytes, the limit is"), "{message}");
    shim.kill(9).expect("ending it");
    assert_eq!(shim.wait(), Ok(137));
    let _ = shim.delete_exec("e");
    shim.delete().expect("deleting it");
}
