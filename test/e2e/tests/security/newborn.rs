//! A process of a container between its birth and its program: it holds nothing of the node when anything of the guest is
//! opened, and others in the container do not reach it before.

use std::{fs, os::unix::ffi::OsStrExt, thread, time::Duration};

use e2e::{
    Kind, Scene, engine, for_kinds,
    process::Process,
    shim::{Shim, Streams},
    tracer::Tracer,
    wait::{until, within},
};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::json;

for_kinds! {
    a_created_container_has_nothing_of_the_node_open: Wasm Linux;
    so_has_one_in_a_user_namespace: Wasm Linux;
    a_program_has_nothing_of_the_node_open_at_its_first_step: Wasm Linux;
}

/// What of these descriptors is neither a standard stream, nor a socket, nor native code that can only be read.
fn foreign(process: &Process) -> Vec<(i32, String)> {
    let fine = |fd: i32, target: &str| match fd {
        0..=2 => target.starts_with("pipe:") || target.starts_with("/dev/") || target.starts_with("socket:"),
        _ if target.starts_with("socket:") || target == "/dev/null" => true,
        // Native code, through a mount of that file alone.
        _ => target == "/" && read_only(process, fd),
    };
    process.descriptors().into_iter().filter(|(fd, target)| !fine(*fd, target)).collect()
}

/// Neither opened for writing nor in a mount that can be written to: whoever is root cannot open it anew for that.
fn read_only(process: &Process, fd: i32) -> bool {
    let info = fs::read_to_string(process.file(&format!("fdinfo/{fd}"))).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map_or("", str::trim);
    let is_file = fs::metadata(process.file(&format!("fd/{fd}"))).is_ok_and(|meta| meta.is_file());
    let for_reading = is_file && u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & 3 == 0);
    let again = fs::OpenOptions::new().append(true).open(process.file(&format!("fd/{fd}")));
    for_reading && again.is_err_and(|error| error.raw_os_error() == Some(nix::libc::EROFS))
}

fn words(kind: Kind) -> &'static [&'static str] {
    kind.either(&["/sleep.wasm", "600"], &["/bin/sleep", "600"])
}

/// Regression test for S1: at Created there were the node's `/proc`, mount namespace, cgroups and a socket that the host
/// believes, and of a module's hardening nothing was done.
#[track_caller]
fn check_created(shim: &Shim, kind: Kind) {
    let pid = shim.create().expect("creating it").pid;
    let init = Process::of(pid.cast_signed()).expect("an init");
    assert_eq!(foreign(&init), [], "all: {:?}", init.descriptors());
    if kind == Kind::Wasm {
        assert_eq!((init.status("NoNewPrivs"), init.status("Seccomp")), ("1".into(), "2".into()));
        let capabilities = u64::from_str_radix(&init.status("CapPrm"), 16).unwrap();
        assert_eq!(capabilities & !(1 << 1 | 1 << 3 | 1 << 10), 0, "{capabilities:x}");
    }
    shim.start().expect("starting it");
    shim.kill(9).expect("ending it");
    assert_eq!(shim.wait(), Ok(137));
    shim.delete().expect("deleting it");
}

fn a_created_container_has_nothing_of_the_node_open(scene: &Scene, kind: Kind) {
    check_created(&scene.bundle(kind, words(kind)).start(), kind);
}

/// libcontainer makes such a process, from its own helper.
fn so_has_one_in_a_user_namespace(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, words(kind));
    bundle.configure(|spec| {
        let mapping = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
        spec["linux"]["uidMappings"] = mapping.clone();
        spec["linux"]["gidMappings"] = mapping;
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    });
    check_created(&bundle.start(), kind);
}

/// Regression test for S1 and S1b, by exec: the process had the node's `/proc` while it could be seen in the container.
fn a_program_has_nothing_of_the_node_open_at_its_first_step(scene: &Scene, kind: Kind) {
    // Both run in a container for Linux programs, where others could reach them.
    let shim = scene.bundle(Kind::Linux, &["/bin/sleep", "600"]).start();
    let init = shim.create().expect("creating it").pid.cast_signed();
    shim.start().expect("starting it");
    let own = Process::of(init).unwrap().namespace("pid").unwrap();
    shim.exec("e", &shim.bundle().process(words(kind)), &Streams::default()).expect("an exec");
    // The first call that a program's process makes in the container.
    let inject = ["-f", "-e", "trace=setsid", "-e", "inject=setsid:delay_enter=3000000"];
    let tracer = Tracer::attach(&engine::running_host(), inject);
    let open = thread::scope(|scope| {
        let started = scope.spawn(|| shim.start_exec("e"));
        let newborn = until("the new process", || {
            let mut all = Process::named("wasmedge-engine");
            all.retain(|process| process.pid != init && process.namespace("pid").is_ok_and(|theirs| theirs == own));
            all.pop()
        });
        // It comes to its first call within a moment.
        thread::sleep(Duration::from_millis(500));
        let open = (foreign(&newborn), newborn.descriptors());
        started.join().unwrap().expect("starting it");
        open
    });
    assert!(tracer.detach());
    assert_eq!(open.0, [], "all: {:?}", open.1);
    shim.kill(9).expect("ending it");
    assert_eq!(shim.wait(), Ok(137));
    shim.delete_exec("e").expect("deleting the exec");
    shim.delete().expect("deleting it");
}

/// Regression test for S1a: native code was loaded by a path in the container, where others could exchange it.
#[test]
fn nothing_is_put_into_a_container_for_native_code() {
    let scene = Scene::new();
    // Compiled once, so that there is some.
    let run = scene.docker(Kind::Linux).image("both").flag("--annotation=io.wasmedge.aot=require");
    let container = run.detach(["sleep", "600"]);
    container.exec(&[], ["/hello.wasm"]).run();
    let watch = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    for directory in ["dev", "tmp", ""] {
        let path = container.init().file("root").join(directory);
        watch.add_watch(&path, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO).unwrap();
    }
    for _ in 0..20 {
        container.exec(&[], ["/hello.wasm"]).run();
    }
    let seen = watch.read_events().unwrap_or_default();
    let names: Vec<_> = seen.into_iter().filter_map(|event| event.name).collect();
    assert!(names.iter().all(|name| !name.as_bytes().starts_with(b".")), "{names:?}");
}

/// Regression test for S1b: a process of the container that may trace got the node's `/proc` from a program that began.
#[test]
fn a_tracer_in_the_container_gets_nothing_of_the_node_from_a_program_that_begins() {
    let scene = Scene::new();
    let run =
        scene.docker(Kind::Linux).image("both").flag("--cap-add=SYS_PTRACE").flag("--security-opt=seccomp=unconfined");
    let container = run.detach(["/thief"]);
    let told = || Some(container.logs().stdout).filter(|text| text.contains("looking"));
    until("the thief", told);
    for _ in 0..60 {
        container.exec(&[], ["/bin/echo", "x"]).run();
    }
    let text = container.logs().stdout;
    assert!(text.trim() == "looking", "{text}");
}

/// Regression test for C10: a program that had waited for its native code entered whichever process had the id of the
/// container's init by then.
#[test]
fn a_program_does_not_enter_a_container_that_has_ended_while_it_waited() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Linux, &["/bin/sleep", "600"]);
    // Slow enough to be overtaken: nobody compiles while the compiler's turn is held.
    bundle.configure(|spec| spec["annotations"] = json!({ "io.wasmedge.aot": "wait" }));
    let shim = bundle.start();
    let init = Process::of(shim.create().expect("creating it").pid.cast_signed()).unwrap();
    shim.start().expect("starting it");
    let module = shim.bundle().path("rootfs/fresh.wasm");
    let mut bytes = fs::read(shim.bundle().path("rootfs/http.wasm")).unwrap();
    // A custom section of its own, so that it is compiled anew.
    bytes.extend([0, 17, 4]);
    bytes.extend(b"name");
    bytes.extend(format!("{:012}", std::process::id()).bytes());
    fs::write(&module, bytes).unwrap();
    shim.exec("e", &shim.bundle().process(&["/fresh.wasm"]), &Streams::default()).expect("an exec");
    let error = thread::scope(|scope| {
        let started = scope.spawn(|| shim.start_exec("e"));
        let waits = || Process::all().into_iter().find(|process| process.name == "wasmedge-waits");
        assert!(within(Duration::from_secs(10), waits).is_some(), "a worker that waits for a compiler");
        init.kill();
        started.join().unwrap().expect_err("it must not start")
    });
    assert!(error.1.contains("has ended"), "{error:?}");
    assert_eq!(shim.wait(), Ok(137));
    let _ = shim.delete_exec("e");
    shim.delete().expect("deleting it");
}
