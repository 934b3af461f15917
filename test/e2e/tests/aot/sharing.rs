//! One cache, and several who use it at once.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use e2e::{Kind, Scene, command::command, engine, process::Process};

use super::Fresh;

/// Engine hosts: their workers are children of the same name.
fn hosts() -> Vec<Process> {
    let all = Process::named("wasmedge-engine");
    all.iter().filter(|one| all.iter().all(|other| other.pid != one.parent)).cloned().collect()
}

/// Another engine in the place of the installed one, for which new containers get a host of their own.
struct Upgrade {
    engine: PathBuf,
    kept: PathBuf,
    before: Vec<i32>,
}

impl Upgrade {
    fn new() -> Self {
        let engine = engine::file();
        let (kept, new) = (engine.with_extension("kept"), engine.with_extension("new"));
        let before = hosts().iter().map(|host| host.pid).collect();
        fs::hard_link(&engine, &kept).unwrap();
        fs::copy(&engine, &new).unwrap();
        fs::rename(&new, &engine).unwrap();
        Self { engine, kept, before }
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        // The very file is back, to which the first host belongs.
        fs::rename(&self.kept, &self.engine).unwrap();
        for host in hosts().into_iter().filter(|host| !self.before.contains(&host.pid)) {
            host.kill();
            if let Some(socket) = host.command.split(' ').find(|word| word.ends_with(".sock")) {
                fs::remove_file(socket).unwrap();
            }
        }
    }
}

#[test]
fn two_hosts_and_people_compile_a_module_once() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let volume = format!("{}:/fresh:ro", module.directory.display());
    let flags = ["-v", &volume, "--annotation", "io.wasmedge.aot=wait"];
    let old = scene.docker(Kind::Wasm).flags(flags).detach(["/sleep.wasm", "600"]);
    old.says("sleeping");
    let upgrade = Upgrade::new();
    let path = module.directory.join("module.wasm").display().to_string();
    let warm = command("wasmedge-engine").args(["cache", "warm", &path]).env("RUST_LOG", "info");
    let runs: Vec<_> = (0..3).map(|_| module.docker(&scene, "wait")).collect();
    let words = ["/fresh/module.wasm"];
    let compiled = thread::scope(|scope| {
        let warming: Vec<_> = (0..3).map(|_| scope.spawn(|| warm.run())).collect();
        let running: Vec<_> = runs.iter().map(|run| scope.spawn(|| run.run(words).exits(0))).collect();
        let executed = scope.spawn(|| old.exec(&[], words).run());
        executed.join().unwrap().prints("hello from wasm\n");
        running.into_iter().for_each(|run| drop(run.join().unwrap().prints("hello from wasm\n")));
        let by_people = warming.into_iter().map(|warm| warm.join().unwrap().stderr);
        by_people.filter(|text| text.contains("was compiled at O2")).count()
    });
    assert_eq!(hosts().len(), 2);
    assert_eq!(compiled + module.compilations("O2"), 1);
    command("wasmedge-engine").args(["cache", "verify"]).run();
    drop(upgrade);
    old.remove();
}

#[test]
fn containers_start_while_the_cache_is_emptied_again_and_again() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let done = AtomicBool::new(false);
    let prune = || command("wasmedge-engine").args(["cache", "prune", "--to", "0"]).run().stdout;
    thread::scope(|scope| {
        let pruning = scope.spawn(|| {
            let mut removals = 0;
            while !done.load(Ordering::Relaxed) {
                removals += usize::from(!prune().starts_with("0 B"));
            }
            removals
        });
        for _ in 0..20 {
            let run = module.docker(&scene, "tiered").run(["/fresh/module.wasm"]);
            // The pruning ends, whatever comes of this.
            done.store(run.code != 0 || run.stdout != "hello from wasm\n", Ordering::Relaxed);
            run.exits(0).prints("hello from wasm\n");
        }
        done.store(true, Ordering::Relaxed);
        assert!(pruning.join().unwrap() > 5);
    });
}
