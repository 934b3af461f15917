//! The one host that all containers of the node share: nothing of a container's stops it, fools it or makes it grow.

use std::{
    fs,
    path::Path,
    thread::{self, sleep},
    time::{Duration, Instant},
};

use e2e::{
    Kind, Scene, command,
    command::{Live, read},
    ctr::ctr,
    engine,
    process::Process,
    shim::Shim,
    until,
};
use serde_json::json;

fn log_size() -> u64 {
    fs::metadata(engine::log_path()).map_or(0, |meta| meta.len())
}

/// A host that was started by hand, in another way than usual. The next shim after it starts a usual one.
pub struct OwnHost(pub Process);

impl OwnHost {
    /// Started by `before`, a command that runs another, with more `flags`.
    pub fn start(before: &str, flags: &str) -> Self {
        let socket = engine::socket();
        engine::kill_hosts();
        let (socket, binary, log) = (socket.display(), engine::BINARY, engine::log_path());
        let script = format!(
            "exec {before} {binary} host --socket {socket} --engine {binary} {flags} </dev/null >/dev/null 2>>{}",
            log.display()
        );
        command("sh").args(["-c", &script]).run();
        let serves =
            || command("socat").args(["-u", "OPEN:/dev/null", &format!("UNIX-CONNECT:{socket},type=5")]).finish();
        until("the host that was started by hand", || (serves().code == 0).then_some(()));
        Self(engine::running_host())
    }
}

impl Drop for OwnHost {
    fn drop(&mut self) {
        engine::kill_hosts();
    }
}

/// A container whose creation takes as long as its hook `script`.
fn slow(scene: &Scene, script: &str) -> Shim {
    let bundle = scene.bundle(Kind::Wasm, &["/sleep.wasm", "600"]);
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
    bundle.configure(|spec| spec["hooks"]["createRuntime"] = hook);
    bundle.start()
}

/// The host's children, by age.
fn workers(host: &Process) -> Vec<Process> {
    let mut workers = Process::named("wasmedge-engine");
    workers.retain(|process| process.parent == host.pid);
    workers.sort_by_key(|process| process.start);
    workers
}

fn limit(process: &Process) -> Vec<u64> {
    let limits = read(process.file("limits"));
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit on open files");
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Regression test for C2: the host stayed at the soft limit that containerd's children have.
#[test]
fn the_host_is_not_out_of_descriptors_at_the_soft_limit_and_containers_have_it_as_it_was() {
    let scene = Scene::new();
    let host = OwnHost::start("prlimit --nofile=40:4096", "");
    assert_eq!(limit(&host.0), [4096, 4096]);
    for _ in 0..20 {
        scene.ctr(Kind::Linux).start(["sleep", "600"]);
    }
    let run = scene.ctr(Kind::Linux).run(["sh", "-c", "ulimit -Sn; ulimit -Hn"]);
    // containerd's own default for a container.
    let given = scene.ctr(Kind::Runc).run(["sh", "-c", "ulimit -Sn; ulimit -Hn"]).stdout;
    run.exits(0).prints(&given);
    let shim = scene.bundle(Kind::Linux, &["sleep", "600"]);
    shim.configure(|spec| drop(spec["process"].as_object_mut().unwrap().remove("rlimits")));
    let shim = shim.start();
    let init = Process::of(shim.create().unwrap().pid.cast_signed()).unwrap();
    assert_eq!(limit(&init), [40, 4096]);
    end(&shim);
}

/// Ends a created or running task.
fn end(shim: &Shim) {
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    shim.delete().unwrap();
}

/// Regression test for C2: without descriptors the host turned without end and filled the log.
#[test]
fn a_host_without_descriptors_rests_and_takes_who_has_waited_later() {
    let scene = Scene::new();
    let host = OwnHost::start("", "");
    let soft = |count: &str| {
        command("prlimit").args([&format!("--nofile={count}:"), "--pid", &host.0.pid.to_string()]).run();
    };
    // None for a connection, so that they wait.
    soft(&host.0.descriptors().len().to_string());
    let mut runs: Vec<_> = (0..6).map(|_| scene.ctr(Kind::Linux).command(["sleep", "600"]).spawn()).collect();
    sleep(Duration::from_secs(1));
    let (log, time, begin) = (log_size(), host.0.processor_time(), Instant::now());
    sleep(Duration::from_secs(2));
    let share = (host.0.processor_time() - time) as f64 / (begin.elapsed().as_secs_f64() * 100.0);
    assert!(share < 0.05, "the host takes {:.0} % of a processor", share * 100.0);
    assert!(log_size() - log < 1000, "the log has grown by {} bytes", log_size() - log);
    soft("4096");
    scene.ctr(Kind::Linux).command(["echo", "hello"]).deadline(Duration::from_secs(20)).finish().exits(0);
    let refused = runs.iter_mut().filter_map(|run| run.wait(Duration::ZERO).then_some(())).count();
    assert_eq!(refused, 0, "who has waited was refused");
    runs.into_iter().for_each(|run| drop(run.end()));
}

/// Regression test for S2: workers had the protection that containerd gives its children, and its memory cgroup.
#[test]
fn a_worker_dies_first_where_memory_is_short() {
    let scene = Scene::new();
    // Where the test may: not every node may protect a process.
    let protect = "choom -n -500 --";
    let may = command("sh").args(["-c", &format!("{protect} true")]).finish().code == 0;
    let host = OwnHost::start(if may { protect } else { "" }, "");
    let shim = slow(&scene, "sleep 4");
    thread::scope(|scope| {
        scope.spawn(|| shim.create().unwrap());
        let worker = until("the worker", || workers(&host.0).into_iter().next());
        assert!(!may || read(host.0.file("oom_score_adj")).trim() == "-500");
        until("the worker without protection", || (!read(worker.file("oom_score_adj")).starts_with('-')).then_some(()));
        let cgroup = read(worker.file("cgroup"));
        let of_memory = |line: &&str| line.contains(":memory:") || line.starts_with("0::");
        assert!(cgroup.lines().filter(of_memory).any(|line| line.ends_with("/wasmedge-workers")), "{cgroup}");
        let limit = ["memory.limit_in_bytes", "memory.max"].iter().find_map(|file| worker.cgroup_file(file));
        let limit: u64 = limit.expect("a bound").parse().expect("a number");
        assert!(limit < 1 << 40, "{limit}");
    });
    let init = Process::of(shim.start().unwrap().cast_signed()).unwrap();
    assert!(!read(init.file("cgroup")).contains("wasmedge-workers"));
    end(&shim);
}

/// Regression test for S4: a worker that hung was there for ever, and with it all that it had made.
#[test]
fn a_worker_that_takes_too_long_is_ended_and_told_of() {
    let scene = Scene::new();
    let host = OwnHost::start("", "--patience 3");
    let shim = slow(&scene, "sleep 612");
    let begin = Instant::now();
    let (_, message) = shim.create().unwrap_err();
    let expected = format!("the worker that was creating default/{} took longer than 3 s", shim.id());
    assert!(message.contains(&expected), "{message}");
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(8)));
    until("the end of the hook", || {
        Process::named("sleep").iter().all(|one| !one.command.ends_with("612")).then_some(())
    });
    assert!(!engine::state_of(shim.id()).exists());
    // The last worker has reported, and ends.
    until("the end of the workers", || workers(&host.0).is_empty().then_some(()));
    // The host has a socket's file of its own, and the next create is as usual.
    scene.ctr(Kind::Wasm).run(["/hello.wasm"]).exits(0);
}

/// A pid namespace with few process ids, until it is dropped. Only in a namespace of the node's own, and on a kernel that
/// keeps the number by namespace.
struct FewPids(String);

const PID_MAX: &str = "/proc/sys/kernel/pid_max";

impl FewPids {
    fn new(count: u32) -> Option<Self> {
        let release = command("uname").arg("-r").run().stdout;
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let by_namespace = (numbers.next(), numbers.next()) >= (Some(6), Some(14));
        // PROC_PID_INIT_INO (include/linux/proc_ns.h).
        let own = fs::read_link("/proc/self/ns/pid").unwrap() != Path::new("pid:[4026531836]");
        if !by_namespace || !own {
            println!("not tried: kernel {release} or a node that is a whole machine");
            return None;
        }
        let before = Self(read(PID_MAX));
        fs::write(PID_MAX, count.to_string()).unwrap();
        Some(before)
    }
}

impl Drop for FewPids {
    fn drop(&mut self) {
        fs::write(PID_MAX, self.0.trim()).expect("putting pid_max back");
    }
}

/// Regression test for C3: ends of workers were taken for ends of new containers that had got their process ids.
#[test]
fn process_ids_that_come_again_are_not_mistaken_while_a_worker_is_held() {
    let scene = Scene::new();
    let Some(few) = FewPids::new(900) else { return };
    let shim = slow(&scene, "while ! test -e go; do sleep 0.2; done");
    let go = shim.bundle().path("rootfs/go");
    thread::scope(|scope| {
        let create = scope.spawn(|| shim.create());
        let failed: Vec<String> = (0..110)
            .map(|_| scene.ctr(Kind::Wasm).command(["/hello.wasm"]).deadline(Duration::from_secs(30)).finish())
            .filter(|run| run.code != 0)
            .map(|run| run.stderr.trim().to_owned())
            .collect();
        fs::write(&go, "").unwrap();
        assert_eq!(failed, Vec::<String>::new(), "{} of 110 failed", failed.len());
        let _ = create.join();
    });
    drop(few);
}

/// Regression test for N3: a long cause was lost.
#[test]
fn a_long_cause_arrives_cut() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
    bundle.configure(|spec| spec["annotations"] = json!({ "io.wasmedge.aot": "é".repeat(50_000) }));
    let (_, message) = bundle.start().create().unwrap_err();
    assert!(message.contains("annotation io.wasmedge.aot: off, tiered, wait or require is expected"), "{message}");
    assert!(message.contains("bytes in all)") && message.len() < 5000, "{} bytes: {message}", message.len());
}

/// Regression test for S11: each unknown annotation was a line of the log, control characters and all.
#[test]
fn annotations_do_not_fill_the_log_nor_forge_it() {
    let scene = Scene::new();
    let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
    bundle.configure(|spec| {
        for number in 0..500 {
            let name =
                format!("io.wasmedge.a{number}\r\n[2030-01-01T00:00:00Z INFO  forged]\u{1b}[2J{}", "x".repeat(400));
            spec["annotations"][name] = "1".into();
        }
    });
    scene.ctr(Kind::Wasm).run(["/hello.wasm"]).exits(0);
    let before = log_size();
    let shim = bundle.start();
    shim.create().unwrap();
    let text = fs::read(engine::log_path()).unwrap();
    let new = String::from_utf8_lossy(&text[usize::try_from(before).unwrap()..]).into_owned();
    assert!(new.lines().count() <= 3 && new.len() < 5000, "{new}");
    assert!(new.contains("500 annotation(s)") && new.contains(&format!("default/{}: ", shim.id())), "{new}");
    end(&shim);
    assert!(!new.contains(['\u{1b}', '\r']) && !new.lines().any(|line| line.starts_with("[2030")), "{new}");
}

/// Regression test for S11: the log grew without end, in memory.
#[test]
fn a_large_log_is_put_aside_once() {
    let scene = Scene::new();
    let old = engine::log_path().with_extension("log.old");
    let host = engine::running_host();
    for _ in 0..2 {
        fs::OpenOptions::new().append(true).open(engine::log_path()).unwrap().set_len(17 << 20).unwrap();
        scene.ctr(Kind::Wasm).run(["/hello.wasm"]).exits(0);
        assert!(log_size() < 1 << 20, "{} bytes", log_size());
        assert!(fs::metadata(&old).unwrap().len() >= 16 << 20);
    }
    assert_eq!(fs::read_link(host.file("fd/2")).unwrap(), engine::log_path());
    fs::remove_file(&old).unwrap();
}

/// Regression test for C19: a host whose binary was copied over never thought itself outlived.
#[test]
fn a_host_whose_binary_was_copied_over_ends_and_leaves_no_socket() {
    let scene = Scene::new();
    let (binary, socket) = (scene.directory().join("engine"), scene.directory().join("host.sock"));
    let copy = || command("cp").args([engine::BINARY, &binary.display().to_string()]).run();
    copy();
    let script =
        format!("{0} host --socket {1} --engine {0} </dev/null >/dev/null 2>&1", binary.display(), socket.display());
    command("sh").args(["-c", &script]).run();
    let own = until("the other host", || {
        let found = Process::all().into_iter().find(|one| one.command.contains(&socket.display().to_string()));
        found.filter(|_| socket.exists())
    });
    copy();
    let ended = e2e::within(Duration::from_secs(25), || (!own.lives()).then_some(()));
    if ended.is_none() {
        own.kill();
    }
    assert!(ended.is_some() && !socket.exists());
}

/// Regression test for C7: what a record that could not be understood was about stayed, and was called deleted.
#[test]
fn a_container_whose_record_is_not_understood_is_removed_all_the_same() {
    let scene = Scene::new();
    for (record, host_too) in [("{\"bundle\": \"/x\"}", true), ("{\"bun", false), ("{\"bun", true), ("", true)] {
        let shim = scene.bundle(Kind::Linux, &["sleep", "613"]).start();
        let pid = shim.create().unwrap().pid;
        shim.start().unwrap();
        let init = Process::of(pid.cast_signed()).unwrap();
        fs::write(engine::state_of(shim.id()).join("record.json"), record).unwrap();
        shim.exec("e", &shim.bundle().process(&["true"]), &e2e::shim::Streams::default()).unwrap();
        let (_, message) = shim.start_exec("e").unwrap_err();
        assert!(record.contains('}') || message.contains("record.json"), "{record:?}: {message}");
        let id = format!("-id {}", shim.id());
        Process::all().iter().filter(|one| one.command.contains(&id)).for_each(Process::kill);
        if host_too {
            engine::kill_hosts();
        }
        shim.clean_up();
        assert!(!init.lives() && !engine::state_of(shim.id()).exists(), "{record:?}");
        let left = command("sh").args(["-c", &format!("ls -d /sys/fs/cgroup/*/default/{} 2>&-; :", shim.id())]).run();
        left.prints("");
    }
}

/// Regression test for C7: where nothing tells what is left, the deletion fails and what is known stays.
#[test]
fn a_container_of_which_nothing_is_known_is_not_called_deleted() {
    let scene = Scene::new();
    let shim = scene.bundle(Kind::Linux, &["sleep", "614"]).start();
    shim.create().unwrap();
    let saved =
        [read(engine::state_of(shim.id()).join("record.json")), read(engine::state_of(shim.id()).join("config.json"))];
    for name in ["record.json", "config.json"] {
        fs::write(engine::state_of(shim.id()).join(name), "{").unwrap();
    }
    let id = format!("-id {}", shim.id());
    Process::all().iter().filter(|one| one.command.contains(&id)).for_each(Process::kill);
    engine::kill_hosts();
    let failed = shim.bundle().shim_command("delete").finish();
    failed.fails().says_in_one_line(&["it is not known what is left of", "record.json"]);
    assert!(engine::state_of(shim.id()).exists());
    for (name, text) in ["record.json", "config.json"].iter().zip(saved) {
        fs::write(engine::state_of(shim.id()).join(name), text).unwrap();
    }
    shim.clean_up();
}

/// Lets a frozen container go on, whatever becomes of the test.
struct Thaw(String);

impl Drop for Thaw {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, "THAWED");
    }
}

/// A process's group, field 5 of `/proc/PID/stat`.
fn group_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

/// Freezes the task by `freezer` at the moment at which an exec in it has all of its surroundings and is not reported yet;
/// whether that came true: the exec's worker still waits. It may also have come and gone between two looks.
fn freeze_an_exec(host: &Process, task: &str, freezer: &str, known: &[i32], exec: &mut Live) -> bool {
    let children = format!("/proc/{0}/task/{0}/children", host.pid);
    let deadline = Instant::now() + e2e::patient(Duration::from_secs(10));
    while Instant::now() < deadline {
        let ended = exec.wait(Duration::ZERO);
        let of_the_host = read(&children);
        let pids = of_the_host.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        let leads = |pid: i32| group_of(pid) == Some(pid);
        let is_inside =
            |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(task));
        if pids.clone().any(|pid| !known.contains(&pid) && leads(pid) && is_inside(pid)) {
            fs::write(freezer, "FROZEN").unwrap();
            sleep(Duration::from_millis(100));
            return workers(host).iter().any(|one| !known.contains(&one.pid) && !is_inside(one.pid));
        }
        if ended {
            return false;
        }
    }
    panic!("an exec in {task} neither begins nor ends");
}

/// Regression test for C21: with one exec's worker the program of another was killed that was about to start.
#[test]
fn an_exec_whose_worker_dies_takes_no_other_with_it() {
    let scene = Scene::new();
    let task = scene.ctr(Kind::Linux).image("both").flags(["--annotation=io.wasmedge.aot=off"]).start(["sleep", "600"]);
    let (host, init) = (engine::running_host(), task.init().pid);
    let freezer = format!("/sys/fs/cgroup/freezer/default/{}/freezer.state", task.id);
    if !Path::new(&freezer).exists() {
        return println!("not tried: there is no freezer of cgroup v1");
    }
    let _thaw = Thaw(freezer.clone());
    let exec = |id: &str, program| ctr(["task", "exec", "--exec-id", id, &task.id, program]).spawn();
    let mut caught = (0..50).find_map(|number| {
        let mut one = exec(&format!("other-{number}"), "/hello.wasm");
        if freeze_an_exec(&host, &task.id, &freezer, &[init], &mut one) {
            return Some(one);
        }
        fs::write(&freezer, "THAWED").unwrap();
        assert!(one.wait(Duration::from_secs(10)));
        None
    });
    let other = caught.as_mut().expect("an exec that is made and not reported");
    let known: Vec<i32> = workers(&host).iter().map(|one| one.pid).collect();
    let mut dying = exec("dying", "/hello.wasm");
    let is_inside = |one: &Process| read(one.file("cgroup")).contains(&task.id);
    let new = || workers(&host).into_iter().filter(|one| !known.contains(&one.pid));
    until("the exec's process", || new().find(is_inside));
    new().find(|one| !is_inside(one)).expect("the exec's worker").kill();
    assert!(dying.wait(Duration::from_secs(10)));
    dying.end().fails();
    fs::write(&freezer, "THAWED").unwrap();
    assert!(other.wait(Duration::from_secs(10)));
    caught.unwrap().end().exits(0).prints("hello from wasm\n");
    until("the end of what the dead worker had made", || {
        workers(&host).iter().all(|one| one.pid == init).then_some(())
    });
}
