//! C by wasi-libc, C++ by libc++, and SQLite.

use std::{fs, path::Path, time::Duration};

use e2e::{Kind, Scene, docker};
use programs::{Program, contents};

const POSIX: Program = Program { image: "program-c", module: "/posix.wasm", linux: "/posix" };
const WORDS: Program = Program { image: "program-c", module: "/words.wasm", linux: "/words" };
const SQLITE: Program = Program { image: "program-c", module: "/sqlite.wasm", linux: "/sqlite" };

#[test]
fn posix_functions_do_what_they_do_on_linux() {
    let scene = Scene::new();
    let posix = POSIX.trial(["/data"]).flags(["--ulimit", "nofile=256"]).input("x".repeat(100_000));
    posix.same_as_under_runc(&scene).finished.exits(7);
}

/// The snippet of examples/graceful.
#[test]
fn signals_are_waited_for_beside_standard_input() {
    let scene = Scene::new();
    let annotation = "--annotation=io.wasmedge.signals=SIGTERM,SIGHUP";
    let run = scene.docker(Kind::Wasm).image("program-c");
    let container = run.clone().flags(["-i", annotation]).detach(["/signals.wasm"]);
    container.says("waiting").kill("HUP");
    container.says("signal 1\n");
    container.stop().takes_less_than(Duration::from_secs(5));
    assert_eq!((container.exit_code(), &*container.logs().stdout), (0, "waiting\nsignal 1\nsignal 15\n"));
    container.remove();
    run.run(["/signals.wasm"])
        .exits(2)
        .complains("no signals to read: the annotation io.wasmedge.signals names none\n");
}

#[test]
fn cpp_streams_and_containers_work() {
    let text = "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox does not.\n".repeat(100);
    let prepare = move |volume: &Path| fs::write(volume.join("text"), &text).unwrap();
    let trial = WORDS.trial(["text", "counted"]).flags(["-w", "/data"]).volume(prepare);
    trial.same_as_under_runc(&Scene::new()).finished.exits(0);
    WORDS.trial(["/none", "/data/counted"]).same_as_under_runc(&Scene::new()).finished.exits(1);
    WORDS.trial(["/etc/passwd", "/data/none/x"]).same_as_under_runc(&Scene::new()).finished.exits(1);
}

const FILL: &str = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
    SELECT i, printf('%0200d', i) FROM n";

#[test]
fn a_database_is_made_used_and_checked() {
    let scene = Scene::new();
    let statements = [
        "/data/test.db",
        "PRAGMA journal_mode",
        "CREATE TABLE t(i INTEGER PRIMARY KEY, text TEXT)",
        FILL,
        "CREATE INDEX by_text ON t(text)",
        "DELETE FROM t WHERE i % 3 = 0",
        "VACUUM",
        "SELECT count(*), sum(i), max(text) FROM t",
        "PRAGMA integrity_check",
        "BEGIN",
        "DELETE FROM t",
        "SELECT count(*) FROM t",
        "ROLLBACK",
        "SELECT count(*) FROM t",
        "SELECT * FROM nowhere",
    ];
    SQLITE.trial(statements).same_as_under_runc(&scene).finished.exits(1);
}

#[test]
fn a_database_is_read_from_a_read_only_volume_by_another_user() {
    let scene = Scene::new();
    let made = SQLITE.trial(["/data/test.db", "CREATE TABLE t(i)", "INSERT INTO t VALUES (7)"]).run(&scene, Kind::Runc);
    made.finished.exits(0);
    let volume = find(scene.directory(), "test.db");
    let prepare = move |to: &Path| {
        fs::copy(&volume, to.join("test.db")).unwrap();
    };
    for statement in ["SELECT i FROM t", "INSERT INTO t VALUES (8)"] {
        let trial =
            SQLITE.trial(["/data/test.db", statement]).flags(["-u", "1000"]).volume(prepare.clone()).read_only();
        trial.same_as_under_runc(&scene);
    }
}

fn find(directory: &Path, name: &str) -> std::path::PathBuf {
    let volumes = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path().join(name));
    volumes.into_iter().find(|path| path.exists()).unwrap()
}

/// The journal is on the disk while the transaction has written to the database, and whoever opens it next rolls it back.
#[test]
fn a_transaction_is_rolled_back_after_its_program_was_killed() {
    for kind in [Kind::Wasm, Kind::Runc] {
        let scene = Scene::new();
        let volume = scene.directory().join("volume");
        fs::create_dir(&volume).unwrap();
        let mount = format!("{}:/data", volume.display());
        let run = |kind: Kind| SQLITE.docker(&scene, kind).flags(["-v", &mount]);
        let words = |kind: Kind, statements: &[&str]| {
            SQLITE.words(kind, ["/data/test.db"].into_iter().chain(statements.iter().copied()))
        };
        run(kind).run(words(kind, &["CREATE TABLE t(i INTEGER PRIMARY KEY, text TEXT)", FILL])).exits(0);
        let statements = ["PRAGMA cache_size = 10", "BEGIN", "UPDATE t SET text = 'changed'", "wait"];
        let changing = run(kind).detach(words(kind, &statements));
        changing.says("waiting");
        let before = contents(&volume);
        assert!(before.iter().any(|line| line.starts_with("test.db-journal: ")), "{before:?}");
        docker::docker(["kill", "-s", "KILL", &changing.name]).run();
        assert_eq!(changing.wait(), 137);
        let count = "SELECT count(*), sum(text = 'changed') FROM t";
        // By the other runtime first: what is on the disk is the same to both.
        for kind in [if kind == Kind::Wasm { Kind::Runc } else { Kind::Wasm }, kind] {
            let check = run(kind).run(words(kind, &[count, "PRAGMA integrity_check"]));
            check.exits(0).prints("20000|0\nok\n");
        }
        assert_eq!(contents(&volume).len(), 1, "{:?}", contents(&volume));
    }
}
