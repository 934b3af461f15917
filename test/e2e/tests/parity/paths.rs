//! What a path leads to: links, the working directory, the names of the standard streams.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use e2e::{Kind, Scene, expect_as_under_runc, for_kinds};
use serde_json::json;

for_kinds! {
    links_lead_where_they_lead_under_runc;
    a_relative_path_is_one_of_the_working_directory;
    a_working_directory_may_have_any_name;
    a_working_directory_that_cannot_be_listed_is_one;
    what_is_above_the_working_directory_is_reached;
    files_directly_in_the_root_are_found_from_any_working_directory;
    the_standard_streams_have_names;
    a_file_that_cannot_be_written_can_be_read;
    a_mounted_secret_is_read_through_its_links;
    links_are_made_and_say_what_they_were_told;
}

/// Reads a file, or says why it cannot be read.
fn reader(kind: Kind, path: &str) -> Vec<String> {
    kind.either(vec!["/files.wasm", "read", path], vec!["cat", path]).into_iter().map(str::to_owned).collect()
}

/// What these paths hold, read one by one in a container with these flags; only that it failed where it did.
fn contents(scene: &Scene, kind: Kind, flags: &[&str], paths: &[&str]) -> Vec<String> {
    let read = |path: &&str| {
        let run = scene.docker(kind).flags(["--network", "none"]).flags(flags.iter().copied()).run(reader(kind, path));
        // From 125 on it is Docker's own failure, or a death.
        assert!(run.code < 125, "{run}");
        let content = if run.code == 0 { &run.stdout } else { "(fails)" };
        format!("{path}: {}", content.trim_end())
    };
    paths.iter().map(read).collect()
}

fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn links_lead_where_they_lead_under_runc(scene: &Scene, kind: Kind) {
    let directory = scene.directory();
    write(directory, "target", "content");
    write(directory, "sub/inner", "inner");
    for (target, name) in [
        ("/v/target", "absolute"),
        ("../../v/target", "sub/up"),
        ("/v/sub", "directory"),
        ("/etc/hostname", "elsewhere"),
        ("../etc/hostname", "relative-elsewhere"),
        ("loop", "loop"),
        ("/nowhere", "dangling"),
        ("target", "chain0"),
    ] {
        symlink(target, directory.join(name)).unwrap();
    }
    for number in 1..30 {
        symlink(format!("chain{}", number - 1), directory.join(format!("chain{number}"))).unwrap();
    }
    let volume = format!("{}:/v", directory.display());
    let paths = [
        "/v/absolute",
        "/v/sub/up",
        "/v/directory/inner",
        "/v/directory/../target",
        "/v/elsewhere",
        "/v/relative-elsewhere",
        "/v/loop",
        "/v/dangling",
        "/v/chain29",
        "/v//sub/./../target",
    ];
    for cwd in ["/", "/tmp", "/v/sub"] {
        expect_as_under_runc(kind, |kind| {
            contents(scene, kind, &["-v", &volume, "--hostname", "name", "-w", cwd], &paths)
        });
    }
}

fn a_relative_path_is_one_of_the_working_directory(scene: &Scene, kind: Kind) {
    let directory = scene.directory();
    write(directory, "f", "here");
    write(directory, "etc/passwd", "not the root's");
    write(directory, "etc/only-here", "only here");
    let volume = format!("{}:/v", directory.display());
    let paths = ["f", "./f", "etc/passwd", "etc/only-here", "etc/hostname", "v/f", "etc//passwd"];
    expect_as_under_runc(kind, |kind| contents(scene, kind, &["-v", &volume, "-w", "/v"], &paths));
}

fn a_working_directory_may_have_any_name(scene: &Scene, kind: Kind) {
    let names = ["a:b", "e:", "with space", "ünïcödé", "-", "a,b"];
    for name in names.into_iter().chain(["a", "e"]) {
        write(scene.directory(), &format!("{name}/f"), name);
    }
    let volume = format!("{}:/v", scene.directory().display());
    for name in names {
        let cwd = format!("/v/{name}");
        let found = contents(scene, kind, &["-v", &volume, "-w", &cwd], &["f"]);
        assert_eq!(found, [format!("f: {name}")]);
    }
}

fn a_working_directory_that_cannot_be_listed_is_one(scene: &Scene, kind: Kind) {
    write(scene.directory(), "app/f", "content");
    fs::set_permissions(scene.directory(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(scene.directory().join("app"), Permissions::from_mode(0o711)).unwrap();
    let volume = format!("{}:/v", scene.directory().display());
    let found = contents(scene, kind, &["-v", &volume, "-u", "1000", "-w", "/v/app"], &["f", "etc/passwd", "../app/f"]);
    assert_eq!(found, ["f: content", "etc/passwd: (fails)", "../app/f: content"]);
}

fn what_is_above_the_working_directory_is_reached(scene: &Scene, kind: Kind) {
    write(scene.directory(), "f", "above");
    write(scene.directory(), "sub/inner/f", "here");
    let volume = format!("{}:/v", scene.directory().display());
    let paths = ["../../f", "../inner/f", "../../../v/f", "../../../../../../v/f", "/v/../v/f"];
    let flags = ["-v", &volume, "-w", "/v/sub/inner"];
    expect_as_under_runc(kind, |kind| contents(scene, kind, &flags, &paths));
}

fn files_directly_in_the_root_are_found_from_any_working_directory(scene: &Scene, kind: Kind) {
    write(scene.directory(), "f", "the root's");
    write(scene.directory(), "work/g", "work's");
    let (file, volume) =
        (format!("{}/f:/file", scene.directory().display()), format!("{}:/v", scene.directory().display()));
    let flags = ["-v", &file, "-v", &volume, "-w", "/v/work"];
    assert_eq!(
        contents(scene, kind, &flags, &["/file", "file", "g", "/v/work/g"]),
        ["/file: the root's", "file: (fails)", "g: work's", "/v/work/g: work's"]
    );
}

fn the_standard_streams_have_names(scene: &Scene, kind: Kind) {
    symlink("/dev/stderr", scene.directory().join("log")).unwrap();
    let volume = format!("{}:/v", scene.directory().display());
    let write_to = |path: &str| {
        let script = format!("echo -n text >> {path}");
        let words = kind.either(["/files.wasm", "append", path, "text"].map(str::to_owned).to_vec(), Vec::new());
        let words = if words.is_empty() { vec!["sh".to_owned(), "-c".to_owned(), script] } else { words };
        scene.docker(kind).flags(["-v", &volume]).run(words).exits(0)
    };
    write_to("/dev/stdout").prints("text").complains("");
    write_to("/dev/stderr").prints("").complains("text");
    write_to("/dev/fd/1").prints("text").complains("");
    write_to("/v/log").prints("").complains("text");
    for path in ["/dev/stdin", "/dev/fd/0"] {
        let run = scene.docker(kind).flag("-i").input("input").run(reader(kind, path));
        run.exits(0).prints("input");
    }
}

/// Regression test: with the right to set a file's size, which Go asks for with every file, a file was opened for writing.
fn a_file_that_cannot_be_written_can_be_read(scene: &Scene, kind: Kind) {
    write(scene.directory(), "f", "content");
    fs::set_permissions(scene.directory(), Permissions::from_mode(0o755)).unwrap();
    let path = scene.directory().display();
    let (read_only, writable) = (format!("{path}:/v:ro"), format!("{path}:/v"));
    for flags in [["-v", &read_only, "-u", "0"], ["-v", &writable, "-u", "1000"]] {
        let run = scene.docker(kind).flags(flags).flags(["-w", "/v"]);
        run.run(kind.either(vec!["/open-as-go.wasm"], vec!["cat", "f"])).exits(0);
    }
}

/// As the kubelet lays out a service account's token: `token -> ..data/token`, `..data -> ..TIME`.
fn a_mounted_secret_is_read_through_its_links(scene: &Scene, kind: Kind) {
    let directory = scene.directory().join("secret");
    write(&directory, "..2026_11_30/token", "token");
    symlink("..2026_11_30", directory.join("..data")).unwrap();
    symlink("..data/token", directory.join("token")).unwrap();
    symlink("/secrets", scene.directory().join("run")).unwrap();
    let links = scene.directory().display().to_string();
    let mounts = json!([
        { "host_path": directory, "container_path": "/secrets", "readonly": true },
        { "host_path": links, "container_path": "/var/links", "readonly": true },
    ]);
    for path in ["/secrets/token", "/secrets/..data/token", "/var/links/run/token"] {
        let words = reader(kind, path);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let container = scene.pod(kind).container_with(kind, &words, |config| config["mounts"] = mounts.clone());
        assert_eq!(container.wait(), 0, "{path}");
        container.logs().prints("token");
    }
}

fn links_are_made_and_say_what_they_were_told(scene: &Scene, kind: Kind) {
    let volume = format!("{}:/v", scene.directory().display());
    let script = kind
        .either(vec!["/files.wasm", "link", "/etc/hostname", "/v/made"], vec!["ln", "-s", "/etc/hostname", "/v/made"]);
    scene.docker(kind).flags(["-v", &volume]).run(script).exits(0);
    assert_eq!(fs::read_link(scene.directory().join("made")).unwrap(), Path::new("/etc/hostname"));
    let flags = ["-v", &*volume, "--hostname", "name"];
    assert_eq!(contents(scene, kind, &flags, &["/v/made"]), ["/v/made: name"]);
}
