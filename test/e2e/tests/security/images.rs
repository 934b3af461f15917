//! Images that try to bring native code into the engine.

use e2e::{Finished, Kind, Scene, docker::Container};

/// Runs `words` in an image full of native code; none of it may have been loaded, wherever it would leave its mark.
fn run(scene: &Scene, image: &str, words: &[&str]) -> (Finished, Container) {
    let (run, container) = scene.docker(Kind::Wasm).image(image).keep(words.iter().copied());
    let changed = container.changed_files();
    assert!(!changed.iter().any(|line| line.contains("was-here")), "native code ran: {changed:?}\n{run}");
    assert!(!run.stderr.contains("native code ran") && !run.stdout.contains("native code ran"), "{run}");
    for mark in ["elf", "nss", "gconv", "plugin", "preload"] {
        let mark = format!("/{mark}-was-here");
        assert!(!std::path::Path::new(&mark).exists(), "native code ran in the node: {mark}\n{run}");
    }
    (run, container)
}

#[test]
fn the_marks_of_native_code_would_be_seen() {
    let scene = Scene::new();
    // The same library in a program that the kernel runs: the busybox image with the hostile one's file.
    let archive = scene.directory().join("preload.so").display().to_string();
    let source = scene.docker(Kind::Wasm).image("hostile").create(["/world.wasm"]);
    e2e::docker::docker(["cp", &format!("{}:/elf.wasm", source.name), &archive]).run();
    let load = e2e::command("sh").args(["-c", "echo; true"]).env("LD_PRELOAD", &archive).finish();
    let mark = std::path::Path::new("/elf-was-here");
    let seen = mark.exists() && load.stderr.contains("native code ran");
    std::fs::remove_file(mark).ok();
    assert!(seen, "{load}");
}

#[test]
fn an_elf_named_as_a_module_is_refused() {
    let scene = Scene::new();
    let (run, _) = run(&scene, "hostile", &["/elf.wasm"]);
    run.fails().says_in_one_line(&["/elf.wasm", "not a WebAssembly module"]);
}

#[test]
fn a_module_with_native_code_in_it_is_refused() {
    let scene = Scene::new();
    let (refused, _) = run(&scene, "hostile", &["/aot.wasm"]);
    refused.fails().prints("").says_in_one_line(&["/aot.wasm", "native code"]);
    let same = scene.docker(Kind::Wasm).run(["/precompiled.wasm"]);
    same.fails().prints("").says_in_one_line(&["/precompiled.wasm", "native code"]);
}

#[test]
fn a_name_lookup_loads_nothing_of_the_image() {
    let scene = Scene::new();
    for image in ["hostile", "hostile-env"] {
        for host in ["localhost", "no-such-host.e2e"] {
            run(&scene, image, &["/resolve.wasm", host]);
        }
        run(&scene, image, &["/tcp-get.wasm", "localhost", "1", "/"]);
    }
}

#[test]
fn the_environment_of_the_image_is_the_guest_s_alone() {
    let scene = Scene::new();
    let (run, _) = run(&scene, "hostile-env", &["/world.wasm"]);
    let run = run.exits(0);
    for (name, value) in [("WASMEDGE_PLUGIN_PATH", "/plugin"), ("LD_PRELOAD", "/preload.so"), ("RUST_LOG", "trace")] {
        assert_eq!(run.value(&format!("env.{name}")), value);
    }
    // Neither the engine nor libcontainer became talkative on the guest's streams.
    run.complains("");
}

#[test]
fn a_volume_over_the_engine_s_own_paths_loads_nothing() {
    let scene = Scene::new();
    let (_, source) = run(&scene, "hostile", &["/hello.wasm"]);
    let libraries = scene.directory().join("libraries");
    let from = format!("{}:/lib/x86_64-linux-gnu", source.name);
    e2e::docker::docker(["cp", &from, &libraries.display().to_string()]).run();
    let volume = format!("{}:/usr/lib/x86_64-linux-gnu", libraries.display());
    let resolve = scene.docker(Kind::Wasm).image("hostile").flags(["-v", &volume]);
    let (resolved, container) = resolve.keep(["/resolve.wasm", "localhost"]);
    assert!(!container.changed_files().iter().any(|line| line.contains("was-here")), "{resolved}");
}
