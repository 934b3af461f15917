//! What all compilations together may take of the node, and who has earned one.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use e2e::{Kind, Scene, command::command, engine, process::Process, until, within};

use super::Fresh;

/// Modules of a row; on a machine that starts four a second that is half a minute.
const ROW: usize = 40;

/// The processes that compile, without those that wait for their turn: in a pid namespace of their own.
fn compilers() -> Vec<Process> {
    let node = Process::of(1).unwrap().namespace("pid").unwrap();
    let is_compiler = |one: &Process| one.namespace("pid").is_ok_and(|own| own != node);
    Process::named("wasmedge-aot").into_iter().filter(is_compiler).collect()
}

/// Regression test for S5: 70 one-shot modules in a row started 70 compilations.
#[test]
fn a_row_of_new_modules_that_run_once_is_not_compiled() {
    let scene = Scene::new();
    let modules: Vec<Fresh> = (0..ROW).map(|_| Fresh::new(&scene, "hello.wasm")).collect();
    for module in &modules {
        module.ctr(&scene).run(["/fresh/module.wasm"]).exits(0).prints("hello from wasm\n");
    }
    engine::quiet();
    let compiled = |level| modules.iter().map(|module| module.compilations(level)).sum::<usize>();
    let (quick, optimized) = (compiled("O0"), compiled("O2"));
    assert_eq!(optimized, 0, "nobody has earned optimization");
    // Twelve a minute, and as many at once.
    assert!(quick <= 30, "{quick} of {ROW} were compiled");
    // A second start has earned it.
    let last = modules.last().unwrap();
    last.ctr(&scene).run(["/fresh/module.wasm"]).exits(0);
    last.wait_for_native("O2");
}

#[test]
fn a_module_that_goes_on_running_is_compiled_for_its_next_start() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "sleep.wasm");
    let options = scene.directory().join("options.toml");
    fs::write(&options, "[aot]\nnew_per_minute = 0\n").unwrap();
    let path = format!("--runtime-config-path={}", options.display());
    let run = module.ctr(&scene).flags([path]);
    let task = run.start(["/fresh/module.wasm", "600"]);
    assert!(super::mapped(&task.init(), &module).is_empty(), "nothing was compiled for it");
    assert!(within(Duration::from_secs(120), || module.native("O2")).is_some(), "it has earned it");
    // The log is written after the file.
    until("its compilations in the log", || {
        ((module.compilations("O0"), module.compilations("O2")) == (1, 1)).then_some(())
    });
}

/// Regression test for S5: each module had a compiler of its own at once, at the node's own priority, in containerd's cgroup.
#[test]
fn compilers_are_few_come_last_and_are_bounded_together() {
    let scene = Scene::new();
    engine::quiet();
    let modules: Vec<Fresh> = (0..4).map(|_| Fresh::new(&scene, "sleep.wasm")).collect();
    let runs: Vec<_> =
        modules.iter().map(|module| module.docker(&scene, "wait").flags(["--network", "none"])).collect();
    let done = AtomicBool::new(false);
    let (most, seen) = thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut most, mut seen) = (0, Vec::new());
            while !done.load(Ordering::Relaxed) {
                let now = compilers();
                most = most.max(now.len());
                seen.extend(now.iter().filter_map(place_of));
                thread::sleep(Duration::from_millis(5));
            }
            (most, seen)
        });
        let starting: Vec<_> =
            runs.iter().map(|run| scope.spawn(|| run.detach(["/fresh/module.wasm", "600"]))).collect();
        let started: Vec<_> = starting.into_iter().map(thread::ScopedJoinHandle::join).collect();
        // Whatever came of them, or the watch would never end.
        done.store(true, Ordering::Relaxed);
        started.into_iter().for_each(|one| drop(one.unwrap()));
        watching.join().unwrap()
    });
    let half = (thread::available_parallelism().unwrap().get() / 2).max(1);
    assert!((1..=half).contains(&most), "{most} compilers at once");
    for (nice, oom, memory) in seen {
        assert_eq!((nice, &*oom), (19, "1000"));
        assert!(memory.parse::<u64>().is_ok_and(|bytes| bytes < 1 << 40), "{memory}");
    }
    assert!(modules.iter().all(|module| module.compilations("O2") == 1));
}

/// Nice value, oom score and its cgroup's bound on memory, of a compiler that is confined already.
fn place_of(compiler: &Process) -> Option<(i64, String, String)> {
    let stat = fs::read_to_string(compiler.file("stat")).ok()?;
    let nice = stat.rsplit_once(')')?.1.split_whitespace().nth(16)?.parse().ok()?;
    let oom = fs::read_to_string(compiler.file("oom_score_adj")).ok()?.trim().to_owned();
    let groups = fs::read_to_string(compiler.file("cgroup")).ok()?;
    let bound = ["memory.max", "memory.limit_in_bytes"].into_iter().find_map(|file| compiler.cgroup_file(file))?;
    // Read last: a process that ends gives its memory back before it leaves its cgroups.
    let status = fs::read_to_string(compiler.file("status")).ok()?;
    if !status.contains("Seccomp:\t2") || !status.contains("VmSize:") {
        return None;
    }
    assert!(groups.contains("/wasmedge-compilers"), "{groups}");
    Some((nice, oom, bound))
}

/// How many modules wait for a compiler.
fn tickets() -> usize {
    let queue = fs::read_dir("/run/containerd-shim-wasmedge/aot/queue").into_iter().flatten().flatten();
    queue.filter(|entry| entry.file_name().to_string_lossy().starts_with(|first: char| first.is_ascii_digit())).count()
}

/// Regression test for S5: who has many modules does not keep others waiting for all of them.
#[test]
fn a_tenant_with_one_module_has_its_turn_before_another_s_many() {
    let scene = Scene::new();
    engine::quiet();
    let many: Vec<Fresh> = (0..5).map(|_| Fresh::new(&scene, "http.wasm")).collect();
    let one = Fresh::new(&scene, "hello.wasm");
    let runs: Vec<_> = many.iter().map(|module| module.docker(&scene, "wait").flags(["--network", "none"])).collect();
    thread::scope(|scope| {
        let starting: Vec<_> =
            runs.iter().map(|run| scope.spawn(|| run.detach(["/fresh/module.wasm", "8080"]))).collect();
        // One is at work.
        until("a queue", || (tickets() >= 3).then_some(()));
        let modest = one.ctr(&scene).flags(["--annotation=io.wasmedge.aot=wait"]);
        modest.run(["/fresh/module.wasm"]).exits(0);
        let before = many.iter().filter(|module| module.compilations("O2") > 0).count();
        assert!(before < many.len(), "all others were compiled first");
        starting.into_iter().for_each(|one| drop(one.join().unwrap()));
    });
}

/// Regression test: who waited for what another tenant's builder was to make waited behind all of that tenant's modules.
#[test]
fn a_module_that_two_tenants_want_is_made_when_the_first_of_them_has_its_turn() {
    let scene = Scene::new();
    engine::quiet();
    let many: Vec<Fresh> = (0..5).map(|_| Fresh::new(&scene, "http.wasm")).collect();
    let both = Fresh::new(&scene, "hello.wasm");
    let runs: Vec<_> =
        many.iter().chain([&both]).map(|module| module.docker(&scene, "wait").flags(["--network", "none"])).collect();
    let (last, first) = runs.split_last().unwrap();
    let begun = |queued: usize| until("a queue", || (tickets() >= queued).then_some(()));
    thread::scope(|scope| {
        let mut starting: Vec<_> =
            first.iter().map(|run| scope.spawn(|| run.detach(["/fresh/module.wasm", "8080"]))).collect();
        begun(4);
        starting.push(scope.spawn(|| last.detach(["/fresh/module.wasm"])));
        begun(5);
        let modest = both.ctr(&scene).flags(["--annotation=io.wasmedge.aot=wait"]);
        modest.run(["/fresh/module.wasm"]).exits(0);
        let before = many.iter().filter(|module| module.compilations("O2") > 0).count();
        assert!(before < many.len(), "all others of the other tenant were compiled first");
        starting.into_iter().for_each(|one| drop(one.join().unwrap()));
    });
    assert_eq!(both.compilations("O2"), 1);
}

/// Regression test for N2: one killed compiler, and the module was interpreted until the node started again.
#[test]
fn a_killed_compiler_is_no_verdict_on_the_module() {
    let scene = Scene::new();
    engine::quiet();
    let module = Fresh::new(&scene, "http.wasm");
    let start = || module.docker(&scene, "tiered").flags(["--network", "none"]).detach(["/fresh/module.wasm", "8080"]);
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            // Of an older engine the compiler is the one whose parent is one of both.
            let child = || {
                let all = Process::named("wasmedge-aot");
                all.iter().find(|one| all.iter().any(|other| other.pid == one.parent)).cloned()
            };
            until("a compiler", child).kill();
        });
        start();
        killer.join().unwrap();
    });
    engine::quiet();
    assert!(module.native("O2").is_none(), "its compiler was killed");
    start();
    // At the lowest priority that takes a while on a busy machine.
    let compiled = within(Duration::from_secs(120), || module.native("O2"));
    assert!(compiled.is_some(), "the module was not compiled any more");
}

/// Regression test for S11: each module that cannot be compiled left a note for ever.
#[test]
fn modules_that_cannot_be_compiled_leave_a_bounded_number_of_notes() {
    let scene = Scene::new();
    let bad: Vec<String> = (0..400)
        .map(|number| {
            let path = scene.directory().join(format!("{number}.wasm"));
            // A section that ends too soon.
            fs::write(&path, [&b"\0asm\x01\0\0\0\x0a\x7f"[..], format!("{number}").as_bytes()].concat()).unwrap();
            path.display().to_string()
        })
        .collect();
    command("wasmedge-engine").args(["cache", "warm"]).args(bad).deadline(Duration::from_secs(300)).finish().fails();
    let notes = fs::read_dir(format!("{}/aot", engine::STATE)).unwrap().flatten();
    let failed = notes.filter(|note| note.file_name().to_string_lossy().starts_with("failed-")).count();
    assert!(failed <= 256, "{failed} notes");
}

#[test]
fn a_module_whose_compilation_would_take_more_memory_than_there_is_runs_interpreted() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let options = scene.directory().join("options.toml");
    fs::write(&options, "[aot]\npolicy = \"require\"\ncompilers_mib = 8\n").unwrap();
    let run = |annotation: &str| {
        let flags = [format!("--runtime-config-path={}", options.display()), format!("--annotation={annotation}")];
        module.ctr(&scene).flags(flags).run(["/fresh/module.wasm"])
    };
    run("io.wasmedge.aot=require")
        .fails()
        .says_in_one_line(&["no native code, which is required", "all compilers may have 8"]);
    run("io.wasmedge.aot=wait").exits(0).prints("hello from wasm\n");
    assert_eq!(module.compilations("O2"), 0);
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}
