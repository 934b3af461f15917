//! What a module leaves behind when it traps.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use e2e::{Scene, docker};

use super::{annotated, with_options};

/// A directory of the node that anybody may write to, as a volume on `/dumps`.
fn dumps(scene: &Scene, run: docker::Run) -> (docker::Run, PathBuf) {
    let directory = scene.directory().join("dumps");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    (run.flags(["-v", &format!("{}:/dumps", directory.display())]), directory)
}

/// Whether `bytes` has `part`.
fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_trap_leaves_stack_and_memory_in_the_directory_that_was_named() {
    for way in ["aot=off", "aot=require"] {
        let scene = Scene::new();
        let (run, directory) = dumps(&scene, annotated(&scene, &[way, "core-dump=/dumps"]));
        let run = run.run(["/trap.wasm", "unreachable"]).exits(134);
        let run = run.says_in_one_line(&["trapped", "unreachable"]);
        run.says_in_one_line(&["/trap.wasm: core dump in /dumps/trap.wasm.core"]);
        let dump = fs::read(directory.join("trap.wasm.core")).unwrap();
        assert_eq!(dump[..8], *b"\0asm\x01\0\0\0");
        assert!(has(&dump, b"corestack") && has(&dump, b"coreinstances"));
        // Of its memory: an argument, which WASI has put there.
        assert!(has(&dump, b"unreachable\0"), "{way}: {} bytes", dump.len());
        // A thread of the name `main` with some frames, each of which begins with a zero.
        let stack = dump.windows(6).position(|window| window == b"\0\x04main").unwrap();
        assert!(dump[stack + 6] >= 2, "{way}: {:?}", &dump[stack..stack + 40]);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}

#[test]
fn without_a_trap_or_without_being_asked_nothing_is_left() {
    let scene = Scene::new();
    let (run, directory) = dumps(&scene, annotated(&scene, &["core-dump=/dumps"]));
    run.run(["/exit.wasm", "3"]).exits(3).complains("");
    let volume = format!("{}:/dumps", directory.display());
    let plain = scene.docker(e2e::Kind::Wasm).flags(["-v", &volume]);
    plain.run(["/trap.wasm", "unreachable"]).exits(134);
    let options = "[engine]\ncore_dump = \"/tmp\"\n";
    let run = with_options(&scene, options, &["core-dump=none"]).run(["/trap.wasm", "unreachable"]).exits(134);
    assert!(!run.stderr.contains("core dump"), "{run}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn it_is_no_larger_than_the_runtime_allows() {
    let scene = Scene::new();
    let directory = scene.directory().join("dumps");
    fs::create_dir(&directory).unwrap();
    let options = "[engine]\ncore_dump = \"/dumps\"\ncore_dump_mib = 1\n";
    let mount = format!("--mount=type=bind,src={},dst=/dumps,options=rbind:rw", directory.display());
    let run = with_options(&scene, options, &["gas-limit=1000000"]).flags([mount]);
    // Something in each page, until there is no more gas.
    let run = run.run(["/memory.wasm", "40000"]).exits(134);
    run.says_in_one_line(&["core dump in /dumps/memory.wasm.core", "first 1 MiB"]);
    let size = fs::metadata(directory.join("memory.wasm.core")).unwrap().len();
    assert!((900_000..1_100_000).contains(&size), "{size}");
}

#[test]
fn it_goes_where_the_module_itself_could_write_and_nowhere_else() {
    let scene = Scene::new();
    let (run, directory) = dumps(&scene, annotated(&scene, &["core-dump=/dumps"]));
    let victim = directory.join("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink("victim", directory.join("trap.wasm.core")).unwrap();
    symlink("victim", directory.join("trap.wasm.core.new")).unwrap();
    run.run(["/trap.wasm", "unreachable"]).exits(134);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert!(fs::symlink_metadata(directory.join("trap.wasm.core")).unwrap().is_file());
    let user = annotated(&scene, &["core-dump=/etc"]).flag("--user=1000").run(["/trap.wasm", "unreachable"]);
    user.exits(134).says_in_one_line(&["no core dump in /etc/trap.wasm.core", "Permission denied"]);
    let missing = annotated(&scene, &["core-dump=/no/such"]).run(["/trap.wasm", "unreachable"]);
    missing.exits(134).says_in_one_line(&["no core dump in /no/such", "No such file"]);
    let wrong = annotated(&scene, &["core-dump=here"]).run(["/trap.wasm", "unreachable"]);
    wrong.fails().says_in_one_line(&["annotation io.wasmedge.core-dump", "absolute path", "here"]);
}
