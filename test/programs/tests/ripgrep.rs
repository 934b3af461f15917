//! ripgrep over a tree of files.

use std::{fs, os::unix::fs::symlink, path::Path};

use e2e::Scene;
use programs::Program;

const RG: Program = Program { image: "program-ripgrep", module: "/rg.wasm", linux: "/rg" };

fn sources(volume: &Path) {
    for folder in 0..20 {
        let path = volume.join(format!("src/{folder:02}"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..20 {
            let line = format!("fn function_{file}() {{ call_{}(); }}\n", file * folder);
            fs::write(path.join(format!("{file:02}.rs")), line.repeat(50)).unwrap();
        }
    }
    fs::write(volume.join("src/.hidden"), "call_380\n").unwrap();
    fs::write(volume.join("src/binary"), b"\0\x01call_380\n").unwrap();
    fs::write(volume.join("src/.ignore"), "19/\n").unwrap();
    symlink("src/19", volume.join("link")).unwrap();
}

#[test]
fn it_finds_under_wasi_what_it_finds_on_linux() {
    let scene = Scene::new();
    for (arguments, code) in [
        (&["--sort=path", "-n", r"call_34\d\b", "/data/src"][..], 0),
        (&["--sort=path", "--no-ignore", "--hidden", "-c", "call_380", "/data"], 0),
        (&["--sort=path", "--no-ignore", "-l", "call_361", "/data"], 0),
        (&["--files", "--sort=path", "/data"], 0),
        (&["--sort=path", "-m1", "call_5\\(", "/data/src/05"], 0),
        (&["nothing_like_this", "/data"], 1),
        (&["(", "/data"], 2),
    ] {
        let trial = RG.trial(arguments.iter().copied()).volume(sources);
        trial.same_as_under_runc(&scene).finished.exits(code);
    }
    RG.trial(["--sort=path", "-r", "$1", "function_(1.)", "src"])
        .flags(["-w", "/data"])
        .volume(sources)
        .same_as_under_runc(&scene)
        .finished
        .exits(0);
    RG.trial(["-n", "two", "-"]).input("one\ntwo\n").same_as_under_runc(&scene).finished.prints("2:two\n");
}
