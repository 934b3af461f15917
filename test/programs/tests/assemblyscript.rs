//! AssemblyScript, whose package as-wasi opens everything at descriptor 3. It makes no Linux programs to compare with.

use std::fs;

use e2e::{Kind, Scene};

#[test]
fn files_are_those_of_the_working_directory() {
    let scene = Scene::new();
    let volume = scene.directory().join("volume");
    fs::create_dir_all(volume.join("work")).unwrap();
    fs::write(volume.join("greeting"), "above\n").unwrap();
    fs::write(volume.join("work/greeting"), "in the working directory\n").unwrap();
    let docker =
        scene.docker(Kind::Wasm).image("program-assemblyscript").flags(["-e", "COLOUR=green", "-w", "/data/work"]);
    let run =
        docker.flags(["-v", &format!("{}:/data", volume.display())]).input("typed").run(["/files.wasm", "a", "b c"]);
    assert_eq!(
        run.exits(7).lines(),
        [
            "greeting: in the working directory",
            "absolute: root",
            "none: (none)",
            "mkdir: ok",
            "mkdir again: failed",
            "tell: 9",
            "seek: ok",
            "line: twö",
            "sync: ok",
            "create again: failed",
            "rename: ok",
            "names: . .. g",
            "unlink: ok",
            "rmdir: ok",
            "arguments: a|b c",
            "COLOUR: green",
            "random: true",
            "slept: true",
            "input: typed",
        ]
    );
    assert_eq!(fs::read_dir(volume.join("work")).unwrap().count(), 1);
}
