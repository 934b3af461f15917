//! Directories that a guest finds open: extra, renamed, read-only or missing ones.

use std::{fs, path::Path};

use e2e::{Finished, Scene, docker};

use super::{annotated, with_options};

/// A directory of the node with what the workload `preopens` looks for, as a volume on `/volume`.
fn volume(scene: &Scene, run: docker::Run) -> docker::Run {
    let top = scene.directory().join("volume");
    for directory in [top.clone(), top.join("sub")] {
        fs::create_dir_all(directory.join("empty")).unwrap();
        for file in ["file", "gone", "moved"] {
            fs::write(directory.join(file), "content").unwrap();
        }
    }
    run.flags(["-v", &format!("{}:/volume", top.display())])
}

/// The names of its preopens.
fn preopens(run: &Finished) -> Vec<&str> {
    run.stdout.lines().filter_map(|line| line.strip_prefix("preopen ")).collect()
}

/// Everything below a directory with its content and its time of change.
fn state(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(top).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        found.push(format!("{} {} {:?}", path.display(), meta.len(), meta.modified().unwrap()));
        if meta.is_dir() {
            found.extend(state(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn a_container_names_the_directories_that_its_module_finds() {
    let scene = Scene::new();
    let run = |preopens: &str| {
        let run = annotated(&scene, &[&format!("preopens={preopens}")]);
        volume(&scene, run).run(["/preopens.wasm"]).exits(0)
    };
    assert!(preopens(&run("none")).is_empty());
    assert_eq!(preopens(&run("/in:/volume")).len(), 1);
    let extra = run("default,/in:/volume");
    assert_eq!(preopens(&extra).len(), 2, "{extra}");
    let program = annotated(&scene, &["preopens=/renamed:/data"]).run(["/files.wasm", "read", "/renamed/greeting"]);
    program.exits(0).prints("hello from the image\n");
}

#[test]
fn an_option_of_the_runtime_names_them_where_no_annotation_does() {
    let scene = Scene::new();
    let options = "[engine]\npreopens = [\"/renamed:/data\"]\n";
    let read = with_options(&scene, options, &[]).run(["/files.wasm", "read", "/renamed/greeting"]);
    read.exits(0).prints("hello from the image\n");
    with_options(&scene, options, &[]).run(["/files.wasm", "read", "/data/greeting"]).fails();
    let own = with_options(&scene, options, &["preopens=/own:/data"]).run(["/files.wasm", "read", "/own/greeting"]);
    own.exits(0).prints("hello from the image\n");
}

#[test]
fn nothing_is_changed_through_a_read_only_directory_nor_what_is_opened_in_it() {
    let scene = Scene::new();
    let run = volume(&scene, annotated(&scene, &["preopens=/in:/volume:ro"]));
    let before = state(&scene.directory().join("volume"));
    let run = run.run(["/preopens.wasm"]).exits(0);
    let after = state(&scene.directory().join("volume"));
    assert_eq!(before, after, "{run}");
    let attempts: Vec<(&str, &str)> = run.stdout.lines().filter_map(|line| line.split_once('=')).collect();
    assert!(attempts.len() > 30, "{run}");
    for (attempt, errno) in attempts {
        let reads = attempt.ends_with(" read") || attempt.ends_with(" open-sub");
        assert_eq!(errno == "0", reads, "{attempt}\n{run}");
    }
}

#[test]
fn the_same_attempts_succeed_where_it_is_not_read_only() {
    let scene = Scene::new();
    let run = volume(&scene, annotated(&scene, &["preopens=/in:/volume"])).run(["/preopens.wasm"]).exits(0);
    for attempt in ["write", "create", "truncate", "mkdir", "symlink", "link", "rename", "times", "rmdir", "unlink"] {
        for directory in ["in", "in/sub"] {
            let line = format!("{directory} {attempt}=0");
            assert!(run.stdout.lines().any(|found| found.trim_start_matches('/') == line), "{line}\n{run}");
        }
    }
}

#[test]
fn a_program_reads_what_it_may_not_write() {
    let scene = Scene::new();
    let run = |words: &[&str]| annotated(&scene, &["preopens=/in:/data:ro,/:/tmp"]).run(words.iter().copied());
    run(&["/files.wasm", "read", "/in/greeting"]).exits(0).prints("hello from the image\n");
    run(&["/files.wasm", "list", "/in"]).exits(0).prints("greeting\nsecret\n");
    run(&["/files.wasm", "stat", "/in/greeting"]).exits(0);
    run(&["/files.wasm", "write", "/in/greeting", "x"]).fails();
    run(&["/files.wasm", "remove", "/in/greeting"]).fails();
    run(&["/files.wasm", "mkdir", "/in/new"]).fails();
    run(&["/files.wasm", "write", "/elsewhere", "x"]).exits(0);
}

#[test]
fn another_program_in_the_container_finds_the_same() {
    let scene = Scene::new();
    let container = annotated(&scene, &["preopens=/in:/data:ro"]).detach(["/sleep.wasm", "600"]);
    container.says("sleeping");
    let run = container.exec(&[], ["/preopens.wasm"]).finish().exits(0);
    assert_eq!(preopens(&run).len(), 1, "{run}");
}

#[test]
fn what_is_no_directory_of_the_container_is_named() {
    let scene = Scene::new();
    let run = |list: &str| annotated(&scene, &[&format!("preopens={list}")]).run(["/hello.wasm"]).fails();
    run("/x:/no/such").says_in_one_line(&["/hello.wasm", "cannot preopen /no/such", "No such file"]);
    run("/x:/etc/passwd").says_in_one_line(&["cannot preopen /etc/passwd", "Not a directory"]);
    run("/x:relative").says_in_one_line(&["annotation io.wasmedge.preopens", "GUEST:PATH[:ro]", "/x:relative"]);
    // A path of the node that the container does not have.
    let node = scene.directory().display().to_string();
    run(&format!("/x:{node}")).says_in_one_line(&["cannot preopen", &node, "No such file"]);
}
