//! `docker update`: other limits for a container that runs.

use std::{fs, thread};

use e2e::{Kind, Scene, cri::crictl, docker::docker, expect_as_under_runc, for_kinds, process::Process, until};
use serde_json::json;

for_kinds! {
    new_limits_are_those_under_runc;
    a_limit_on_memory_is_raised_for_a_program_that_runs;
    a_limit_on_memory_is_lowered_for_a_program_that_runs;
    an_exec_has_the_new_limits;
    a_stopped_container_starts_with_its_new_limits;
    a_pod_s_container_gets_new_limits;
    the_task_api_changes_what_it_names_and_nothing_else;
    a_limit_that_the_kernel_refuses_is_an_error;
    updates_at_once_are_as_good_as_one_after_the_other;
}

/// The files of cgroup v1 and v2 that hold limits.
const FILES: [&str; 15] = [
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpuset.cpus",
    "pids.max",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "cpu.weight",
    "cpu.max",
    "cpuset.mems",
    "cpuset.cpus.effective",
];

fn limits(process: &Process) -> Vec<String> {
    let files = FILES.iter().filter_map(|file| Some(format!("{file}: {}", process.cgroup_file(file)?)));
    files.chain([format!("processors: {}", process.status("Cpus_allowed_list"))]).collect()
}

fn new_limits_are_those_under_runc(scene: &Scene, kind: Kind) {
    for flags in [
        &["-m", "96m", "--memory-swap", "128m", "--memory-reservation", "48m"][..],
        &["--cpus", "0.5", "--cpu-shares", "512"],
        &["--cpuset-cpus", "0"],
        &["--pids-limit", "50"],
    ] {
        expect_as_under_runc(kind, |kind| {
            let container = super::exec::container(scene, kind);
            let before = limits(&container.init());
            docker(["update"]).args(flags.iter().copied()).arg(&container.name).run();
            let after = limits(&container.init());
            assert_ne!(before, after, "{flags:?} changed nothing");
            after
        });
    }
}

/// A program that takes 40 MiB more for each line that it reads, if it gets them.
fn grower(kind: Kind) -> Vec<&'static str> {
    let script = "echo ready; while read line; do \
                  dd if=/dev/zero of=/dev/null bs=${line}M count=1 2>/dev/null && echo grew || echo refused; done";
    kind.either(vec!["/memory.wasm", "-"], vec!["sh", "-c", script])
}

fn a_limit_on_memory_is_raised_for_a_program_that_runs(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).flags(["-i", "-m", "32m", "--memory-swap", "32m"]);
    let name = run.name().to_owned();
    let mut live = run.command(grower(kind)).open_input().spawn();
    live.says("ready");
    live.write("60\n");
    live.says("refused");
    docker(["update", "-m", "256m", "--memory-swap", "256m", &name]).run();
    live.write("60\n");
    live.says("grew");
}

fn a_limit_on_memory_is_lowered_for_a_program_that_runs(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).flags(["-i", "-m", "256m", "--memory-swap", "256m"]);
    let name = run.name().to_owned();
    let mut live = run.command(grower(kind)).open_input().spawn();
    live.says("ready");
    live.write("10\n");
    live.says("grew");
    docker(["update", "-m", "48m", "--memory-swap", "48m", &name]).run();
    live.write("100\n");
    live.says("refused");
}

fn an_exec_has_the_new_limits(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    docker(["update", "--cpuset-cpus", "0", "--pids-limit", "50", &container.name]).run();
    container.exec(&["-d"], ["sleep", "700"]).run();
    let exec = container.process("sleep 700");
    assert_eq!(limits(&exec), limits(&container.init()));
    assert_eq!(exec.status("Cpus_allowed_list"), "0");
}

fn a_stopped_container_starts_with_its_new_limits(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    container.kill("KILL");
    container.wait();
    docker(["update", "--pids-limit", "50", &container.name]).run();
    container.docker(["start"]);
    assert_eq!(container.init().cgroup_file("pids.max").as_deref(), Some("50"));
}

fn a_pod_s_container_gets_new_limits(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let container = scene.pod(kind).container(kind, &kind.sleeper());
        container.says("sleeping");
        let update = ["update", "--cpu-quota", "50000", "--cpu-period", "100000", "--memory", "100000000"];
        crictl(update).args(["--cpu-share", "512", &container.id]).run();
        limits(&container.init())
    });
}

fn the_task_api_changes_what_it_names_and_nothing_else(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    let (pid, ..) = shim.state().unwrap();
    let init = Process::of(pid.cast_signed()).expect("the task's process");
    shim.update(&json!({ "pids": { "limit": 50 }, "cpu": { "shares": 512 } })).unwrap();
    assert_eq!(init.cgroup_file("pids.max").as_deref(), Some("50"));
    shim.update(&json!({ "pids": { "limit": 60 } })).unwrap();
    assert_eq!(init.cgroup_file("pids.max").as_deref(), Some("60"));
    let shares = init.cgroup_file("cpu.shares").or_else(|| init.cgroup_file("cpu.weight")).expect("a file for cpu");
    assert!(["512", "20", "59"].contains(&&*shares), "the earlier change is gone: {shares}");
    super::exec_api::end(&shim);
}

fn a_limit_that_the_kernel_refuses_is_an_error(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    let (_, message) = shim.update(&json!({ "cpu": { "cpus": "4000" } })).unwrap_err();
    assert!(message.contains("cpuset.cpus"), "the file is not named: {message}");
    until("the task goes on", || (shim.state().ok()?.1 == 2).then_some(()));
    super::exec_api::end(&shim);
}

/// Regression test for C22: each of two updates at once counted from the same record, so that the bound of a module's
/// process moved by both, for ever, and the record told the one that came last.
fn updates_at_once_are_as_good_as_one_after_the_other(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &kind.sleeper());
    let memory = |megabytes: u64| json!({ "memory": { "limit": megabytes << 20 } });
    bundle.configure(|spec| spec["linux"]["resources"] = memory(64));
    let shim = bundle.start();
    shim.create().unwrap();
    let init = Process::of(shim.start().unwrap().cast_signed()).expect("the task's process");
    let bounds = || {
        let all = fs::read_to_string(init.file("limits")).unwrap();
        let data = all.lines().find(|line| line.starts_with("Max data size")).unwrap().to_owned();
        let files = ["memory.limit_in_bytes", "memory.max"].iter().find_map(|file| init.cgroup_file(file));
        (data, files.expect("a bound of the cgroup"))
    };
    let before = bounds();
    for _ in 0..20 {
        thread::scope(|scope| {
            for megabytes in [96, 128, 160] {
                let resources = memory(megabytes);
                let shim = &shim;
                scope.spawn(move || shim.update(&resources).unwrap());
            }
        });
    }
    assert_ne!(bounds().1, before.1, "nothing was changed");
    shim.update(&memory(64)).unwrap();
    assert_eq!(bounds(), before);
    super::exec_api::end(&shim);
}
