//! CPython 3.12 beside Debian's Python, and QuickJS.

use std::{fs, path::Path};

use e2e::{Kind, Scene};
use programs::Program;

const PYTHON: Program = Program { image: "program-python", module: "/python.wasm", linux: "/usr/bin/python3.11" };

#[test]
fn the_standard_library_reads_and_writes_files() {
    let scene = Scene::new();
    let trial = PYTHON.trial(["/scripts/files.py", "/data", "a", "b c"]).flags(["-e", "COLOUR=green"]);
    trial.input("text\n".repeat(1000)).same_as_under_runc(&scene).finished.exits(7);
}

#[test]
fn modules_of_the_standard_library_are_imported() {
    PYTHON.trial(["/scripts/imports.py"]).same_as_under_runc(&Scene::new()).finished.exits(0);
}

#[test]
fn a_database_stays_in_its_volume() {
    let scene = Scene::new();
    let database = ["/scripts/database.py", "/data/words.db"];
    PYTHON.trial(database).other_contents().same_as_under_runc(&scene).finished.exits(0);
}

#[test]
fn a_script_is_read_from_the_volume_and_from_standard_input() {
    let scene = Scene::new();
    let prepare = |volume: &Path| {
        fs::write(volume.join("main.py"), "import helper, sys\nprint(helper.name, sys.path[0])\n").unwrap();
        fs::write(volume.join("helper.py"), "name = 'helper'\n").unwrap();
    };
    let script = PYTHON.trial(["/data/main.py"]).volume(prepare).read_only();
    script.same_as_under_runc(&scene).finished.prints("helper /data\n");
    PYTHON.trial(["-c", "print(6 * 7)"]).same_as_under_runc(&scene).finished.prints("42\n");
    PYTHON.trial(["-"]).input("import os\nprint(os.getcwd())\n").same_as_under_runc(&scene);
    PYTHON.trial(["-c", "raise SystemExit(300)"]).same_as_under_runc(&scene).finished.exits(44);
}

#[test]
fn what_wasi_does_not_have_is_an_exception() {
    let scene = Scene::new();
    let run = PYTHON.docker(&scene, Kind::Wasm).run(PYTHON.words(Kind::Wasm, ["/scripts/absent.py"])).exits(0);
    let lines = run.lines();
    assert!(lines[0].starts_with("a thread: RuntimeError: can't start new thread"), "{run}");
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("Error: ")), "{run}");
}

/// There is no QuickJS in Debian 12 to compare with.
#[test]
fn quickjs_reads_and_writes_files() {
    let scene = Scene::new();
    let volume = scene.directory().join("volume");
    fs::create_dir(&volume).unwrap();
    let docker = scene.docker(Kind::Wasm).image("program-python").flags(["-e", "COLOUR=green"]);
    let docker = docker.flags(["-v", &format!("{}:/data", volume.display())]).input("some text");
    let run = docker.run(["/quickjs.wasm", "/scripts/files.js", "/data"]);
    let run = run.exits(7).complains("to the other stream\n");
    assert_eq!(
        run.lines(),
        [
            "mkdir: 0",
            "mkdir again: true",
            r#"getline: ["one","two","thrée",null]"#,
            "tell: 15",
            "loadFile: 14",
            "rename: 0",
            "stat: [0,15,true]",
            r#"readdir: [[".","..","g"],0]"#,
            "open nothing: null",
            r#"parse: {"list":[1,"two",null],"at":"1970-01-01T00:00:00.000Z"}"#,
            "write: 4",
            "seek: 1",
            "read: [3,[2,3,4,0,0,0,0,0]]",
            "close: 0",
            "remove: 0",
            r#"regular expression: "2026""#,
            r#"environment: "green""#,
            r#"stdin: "some text""#,
        ]
    );
    let left = programs::contents(&volume);
    assert!(left.len() == 3, "{left:?}");
}
