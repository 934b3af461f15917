//! Processes that are killed and resources that are missing, at every step of a container's life.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

use e2e::{
    Kind, Scene, command,
    ctr::ctr,
    docker::docker,
    engine, for_kinds,
    node::service,
    process::Process,
    shim::{Shim, Streams},
    until, within,
};
use serde_json::json;

for_kinds! {
    a_shim_killed_after_the_create_is_cleaned_up_after;
    a_shim_killed_after_the_start_is_cleaned_up_after;
    a_shim_killed_while_an_exec_runs_is_cleaned_up_after;
    a_shim_killed_after_the_end_is_cleaned_up_after;
    a_shim_killed_while_its_task_is_paused_is_cleaned_up_after;
    a_shim_and_a_host_killed_while_the_task_is_paused_are_cleaned_up_after: Wasm Linux;
    a_host_killed_after_the_create_leaves_a_task_that_can_be_deleted: Wasm Linux;
    a_host_killed_after_the_start_leaves_a_task_that_can_be_deleted: Wasm Linux;
    a_host_killed_while_an_exec_runs_leaves_a_task_that_can_be_deleted: Wasm Linux;
    an_exec_works_after_its_host_was_killed: Wasm Linux;
    a_worker_killed_while_it_deletes_is_replaced: Wasm Linux;
    output_and_exit_code_outlive_a_restart_of_containerd;
    an_exec_works_after_a_restart_of_containerd;
    output_and_exit_code_outlive_dockerd;
    a_full_disk_refuses_containers_and_leaves_nothing: Wasm Linux;
    a_read_only_disk_refuses_containers_and_leaves_nothing: Wasm Linux;
    a_program_that_may_not_fork_lives_on: Linux Runc;
    an_exec_at_the_limit_of_processes_does_the_container_no_harm;
    kills_at_random_moments_leave_nothing: Wasm Linux;
}

/// Kills the shim's process and cleans up after it, as containerd does; `processes` must be gone then.
fn kill(kind: Kind, shim: &Shim, processes: &[u32]) {
    let id = format!("-id {}", shim.id());
    let shims: Vec<_> = Process::all().into_iter().filter(|process| process.command.contains(&id)).collect();
    assert!(!shims.is_empty(), "no shim of {}", shim.id());
    shims.iter().for_each(Process::kill);
    let processes: Vec<_> = processes.iter().filter_map(|pid| Process::of(pid.cast_signed())).collect();
    shim.clean_up();
    if kind == Kind::Runc {
        // runc's shim leaves its socket.
        fs::remove_file(&shim.socket).expect("removing the socket of a killed shim");
    }
    until("the end of the container's processes", || processes.iter().all(|one| !one.lives()).then_some(()));
}

fn created(scene: &Scene, kind: Kind) -> (Shim, u32) {
    let shim = scene.bundle(kind, &kind.sleeper()).start();
    let pid = shim.create().unwrap().pid;
    (shim, pid)
}

fn started(scene: &Scene, kind: Kind) -> (Shim, u32) {
    let (shim, pid) = created(scene, kind);
    shim.start().unwrap();
    (shim, pid)
}

fn with_exec(scene: &Scene, kind: Kind) -> (Shim, u32, u32) {
    let (shim, pid) = started(scene, kind);
    shim.exec("one", &shim.bundle().process(&kind.sleeper()), &Streams::default()).unwrap();
    let exec = shim.start_exec("one").unwrap();
    (shim, pid, exec)
}

fn a_shim_killed_after_the_create_is_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid) = created(scene, kind);
    kill(kind, &shim, &[pid]);
}

fn a_shim_killed_after_the_start_is_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid) = started(scene, kind);
    kill(kind, &shim, &[pid]);
}

fn a_shim_killed_while_an_exec_runs_is_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid, exec) = with_exec(scene, kind);
    kill(kind, &shim, &[pid, exec]);
}

fn a_shim_killed_after_the_end_is_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid) = started(scene, kind);
    shim.kill(9).unwrap();
    shim.wait().unwrap();
    kill(kind, &shim, &[pid]);
}

/// Regression test for C8b: a frozen process does not die of SIGKILL, and the deletion never came to its end.
fn a_shim_killed_while_its_task_is_paused_is_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid, exec) = with_exec(scene, kind);
    shim.pause().unwrap();
    let begin = Instant::now();
    kill(kind, &shim, &[pid, exec]);
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(5)), "it took {:?}", begin.elapsed());
}

fn a_shim_and_a_host_killed_while_the_task_is_paused_are_cleaned_up_after(scene: &Scene, kind: Kind) {
    let (shim, pid, exec) = with_exec(scene, kind);
    shim.pause().unwrap();
    engine::kill_hosts();
    let begin = Instant::now();
    kill(kind, &shim, &[pid, exec]);
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(5)), "it took {:?}", begin.elapsed());
}

/// Ends the task and deletes it; its exit code may be unknown.
fn delete(shim: &Shim, pid: u32) {
    shim.kill(9).unwrap();
    let code = shim.wait().unwrap();
    assert!([137, 255].contains(&code), "exit code {code}");
    shim.delete().unwrap();
    assert!(Process::of(pid.cast_signed()).is_none_or(|init| !init.lives()));
}

fn a_host_killed_after_the_create_leaves_a_task_that_can_be_deleted(scene: &Scene, kind: Kind) {
    let (shim, pid) = created(scene, kind);
    engine::kill_hosts();
    delete(&shim, pid);
}

fn a_host_killed_after_the_start_leaves_a_task_that_can_be_deleted(scene: &Scene, kind: Kind) {
    let (shim, pid) = started(scene, kind);
    engine::kill_hosts();
    delete(&shim, pid);
}

fn a_host_killed_while_an_exec_runs_leaves_a_task_that_can_be_deleted(scene: &Scene, kind: Kind) {
    let (shim, pid, exec) = with_exec(scene, kind);
    let exec = Process::of(exec.cast_signed()).expect("the exec's process");
    engine::kill_hosts();
    shim.kill_exec("one", 9).unwrap();
    let code = shim.wait_for_exec("one").unwrap();
    assert!([137, 255].contains(&code), "exit code {code}");
    assert!(!exec.lives());
    shim.delete_exec("one").unwrap();
    delete(&shim, pid);
}

/// containerd runs the shim's `delete` once, whatever becomes of it.
fn a_worker_killed_while_it_deletes_is_replaced(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &kind.sleeper());
    let ran = bundle.path("ran");
    bundle.configure(|spec| {
        // A worker that deletes waits for this one.
        let script = format!("echo $PPID >>{}; sleep 1", ran.display());
        let words = json!(["sh", "-c", script]);
        spec["hooks"]["poststop"] = json!([{ "path": "/bin/sh", "args": words, "env": ["PATH=/bin:/usr/bin"] }]);
    });
    let shim = bundle.start();
    let pid = shim.create().unwrap().pid;
    shim.start().unwrap();
    let worker = || Process::of(fs::read_to_string(&ran).ok()?.trim().parse().ok()?);
    thread::scope(|scope| {
        scope.spawn(|| until("a worker that deletes", worker).kill());
        kill(kind, &shim, &[pid]);
    });
}

fn an_exec_works_after_its_host_was_killed(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    engine::kill_hosts();
    container.exec(&[], kind.exiter(42)).finish().exits(42);
    container.exec(&[], ["sh", "-c", "exit 43"]).finish().exits(43);
}

/// Waits until Docker has found containerd again.
fn docker_works() {
    until("Docker's connection to containerd", || {
        let run = docker(["run", "--rm", "--label", "e2e", "localhost/busybox", "true"]).finish();
        (run.code == 0).then_some(())
    });
}

fn output_and_exit_code_outlive_a_restart_of_containerd(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flag("-i").detach(kind.echoer());
    container.says("ready");
    service("kill", "containerd");
    service("start", "containerd");
    docker_works();
    let mut attached = docker(["attach", &container.name]).open_input().spawn();
    attached.write("after the restart\n");
    container.says("after the restart");
    container.kill("KILL");
    assert_eq!(container.wait(), 137);
    attached.wait(Duration::from_secs(5));
}

fn an_exec_works_after_a_restart_of_containerd(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    container.exec(&["-d"], ["sleep", "700"]).run();
    let exec = container.process("sleep 700");
    service("kill", "containerd");
    service("start", "containerd");
    docker_works();
    assert!(exec.lives() && container.init().lives());
    container.exec(&[], kind.exiter(42)).finish().exits(42);
    assert_eq!(container.docker(["top"]).lines().len(), 3, "the processes of the container and its exec");
}

/// Docker that leaves containers alone when it ends, for the time of a test.
struct LiveRestore {
    before: String,
}

const DOCKER: &str = "/etc/docker/daemon.json";

impl LiveRestore {
    fn new() -> Self {
        let before = e2e::command::read(DOCKER);
        let mut config: serde_json::Value = serde_json::from_str(&before).unwrap();
        config["live-restore"] = true.into();
        let new = Self { before };
        fs::write(DOCKER, config.to_string()).unwrap();
        service("restart", "dockerd");
        new
    }
}

impl Drop for LiveRestore {
    fn drop(&mut self) {
        let _ = fs::write(DOCKER, &self.before);
        let _ = command("node-service").args(["stop", "dockerd"]).try_finish();
        // Docker with this option leaves its sockets for networks.
        let _ = command("sh").args(["-c", "rm -f /run/docker/libnetwork/*.sock"]).try_finish();
        let _ = command("node-service").args(["start", "dockerd"]).try_finish();
    }
}

fn output_and_exit_code_outlive_dockerd(scene: &Scene, kind: Kind) {
    let live_restore = LiveRestore::new();
    let words = kind.either(vec!["/sleep.wasm", "4"], vec!["sh", "-c", "echo sleeping; sleep 4; echo awake"]);
    let container = scene.docker(kind).detach(words);
    let init = container.says("sleeping").init();
    service("stop", "dockerd");
    assert!(init.lives());
    service("start", "dockerd");
    assert_eq!(container.inspect(".State.Running"), "true");
    assert_eq!(container.wait(), 0);
    container.says("awake");
    container.remove();
    drop(live_restore);
}

/// A file system over the directory where the state of containers is, until it is dropped.
struct StateOn;

fn state() -> String {
    format!("{}/containers", engine::STATE)
}

impl StateOn {
    fn new(options: &str) -> Self {
        assert!(Path::new(&state()).is_dir(), "there is no {}", state());
        command("mount").args(["-t", "tmpfs", "-o", options, "e2e-state", &state()]).run();
        Self
    }
}

impl Drop for StateOn {
    fn drop(&mut self) {
        let _ = command("umount").args(["-l", &state()]).try_finish();
    }
}

/// Containers and execs are refused, with the directory in the error, and work again afterwards.
fn expect_refused(scene: &Scene, kind: Kind, options: &str, cause: &str) {
    let words = kind.either(vec!["/hello.wasm"], vec!["echo", "hello"]);
    let state_on = StateOn::new(options);
    if cause.contains("space") {
        // Filled to the last byte and file.
        let script = format!("dd if=/dev/zero of={0}/full; while mkdir {0}/$((n=n+1)); do :; done", state());
        command("bash").args(["-c", &script]).finish();
    }
    scene.docker(kind).run(words.clone()).exits(125).says_in_one_line(&[&state(), cause]);
    assert_eq!(engine::shims(), []);
    drop(state_on);
    scene.docker(kind).run(words).exits(0);
}

fn a_full_disk_refuses_containers_and_leaves_nothing(scene: &Scene, kind: Kind) {
    expect_refused(scene, kind, "size=64k,nr_inodes=8", "No space left on device");
}

fn a_read_only_disk_refuses_containers_and_leaves_nothing(scene: &Scene, kind: Kind) {
    expect_refused(scene, kind, "ro", "Read-only file system");
}

fn a_program_that_may_not_fork_lives_on(scene: &Scene, kind: Kind) {
    let script = "for n in 1 2 3 4 5; do sleep 600 & done; echo not reached";
    let run = scene.docker(kind).flags(["--pids-limit", "3"]).run(["sh", "-c", script]);
    run.fails().says_in_one_line(&["fork"]);
}

fn an_exec_at_the_limit_of_processes_does_the_container_no_harm(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).image("both").flags(["--pids-limit", "1"]).detach(kind.sleeper());
    let init = container.says("sleeping").init();
    // Whether it works is the kernel's decision; it must end.
    container.exec(&[], kind.exiter(0)).deadline(Duration::from_secs(20)).finish();
    assert!(init.lives());
    docker(["update", "--pids-limit", "100", &container.name]).run();
    container.exec(&[], kind.exiter(42)).finish().exits(42);
}

/// Numbers that look random, from a start that a failure tells.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's multiplier; the upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// `FAULTS` (100) containers, each with one process of the product killed somewhere in its life.
fn kills_at_random_moments_leave_nothing(scene: &Scene, kind: Kind) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let count = number("FAULTS").unwrap_or(100);
    let clock = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    let seed = number("FAULTS_SEED").unwrap_or_else(|| clock().into());
    println!("FAULTS_SEED={seed}");
    let mut numbers = Numbers(seed);
    for round in 0..count {
        let run = scene.ctr(kind);
        let words = kind.either(["/sleep.wasm", "0.2"], ["sleep", "0.2"]);
        let (moment, victim) = (numbers.below(300), numbers.below(3));
        let finished = thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(moment));
                kill_one(victim);
            });
            run.command(words).deadline(Duration::from_secs(30)).finish()
        });
        assert!(
            [0, 1, 137, 255].contains(&finished.code),
            "round {round}: exit code {} after victim {victim} was killed at {moment} ms\n{finished}",
            finished.code
        );
        let gone = || !ctr(["task", "ls", "-q"]).run().stdout.contains(run.id());
        assert!(
            within(Duration::from_secs(10), || gone().then_some(())).is_some(),
            "round {round}: task {} is left after victim {victim} was killed at {moment} ms",
            run.id()
        );
    }
    let words = kind.either(vec!["/hello.wasm"], vec!["echo", "hello"]);
    scene.ctr(kind).run(words).exits(0);
    // ctr leaves the FIFOs of a task that does not start.
    command("sh").args(["-c", "rm -rf /run/containerd/fifo/*"]).run();
}

/// A shim (0), the host (1) or one of its children that is no container yet (2), if there is one.
fn kill_one(victim: u64) {
    let host = engine::host();
    match victim {
        0 => engine::shims().iter().take(1).for_each(Process::kill),
        1 => host.iter().for_each(Process::kill),
        _ => {
            let all = Process::named("wasmedge-engine");
            let is_worker = |process: &&Process| host.as_ref().is_some_and(|host| process.parent == host.pid);
            all.iter().filter(is_worker).take(1).for_each(Process::kill);
        }
    }
}
