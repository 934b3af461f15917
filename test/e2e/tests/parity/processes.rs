//! What is told of a container's processes and what they use.

use e2e::{Kind, Scene, command, cri::crictl, ctr::ctr, docker::docker, for_kinds, until};
use serde_json::Value;

for_kinds! {
    docker_top_shows_the_command_line;
    docker_top_shows_the_user;
    docker_stats_shows_what_is_used;
    the_processor_time_is_counted;
    the_metrics_of_a_task_are_told;
    the_stats_of_a_pod_s_container_are_told;
}

fn docker_top_shows_the_command_line(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/sleep.wasm", "600"], vec!["sleep", "600"]);
    let container = scene.docker(kind).detach(words.clone());
    let line = words.join(" ");
    until("the command line", || {
        let top = docker(["top", &container.name, "-o", "pid,args"]).run();
        let lines =
            top.lines().into_iter().skip(1).map(|line| line.trim().split_once(' ').unwrap().1.trim().to_owned());
        (lines.collect::<Vec<_>>() == [line.clone()]).then_some(())
    });
}

fn docker_top_shows_the_user(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/sleep.wasm", "600"], vec!["sleep", "600"]);
    let container = scene.docker(kind).flags(["-u", "1000:50"]).detach(words);
    let top = docker(["top", &container.name, "-o", "pid,uid,gid"]).run();
    let fields: Vec<&str> = top.lines()[1].split_whitespace().collect();
    assert_eq!(fields[1..], ["1000", "50"], "{top}");
}

/// `docker stats` as the API has it.
fn stats(container: &e2e::docker::Container) -> Value {
    let address = format!("http://docker/containers/{}/stats?stream=false&one-shot=true", container.name);
    let text = command("curl").args(["-sS", "--unix-socket", "/run/docker.sock", &address]).run().stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn docker_stats_shows_what_is_used(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flags(["-m", "64m"]).detach(kind.sleeper());
    container.says("sleeping");
    let stats = until("numbers of all kinds", || {
        let stats = stats(&container);
        let numbers = [&stats["cpu_stats"]["cpu_usage"]["total_usage"], &stats["memory_stats"]["usage"]];
        numbers.iter().all(|number| number.as_u64() > Some(0)).then_some(stats)
    });
    assert_eq!(stats["memory_stats"]["limit"], 64 << 20, "{stats}");
    assert_eq!(stats["pids_stats"]["current"], 1, "{stats}");
    assert!(stats["networks"]["eth0"].is_object(), "{stats}");
}

fn the_processor_time_is_counted(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/busy.wasm"], vec!["sh", "-c", "echo busy; while :; do :; done"]);
    let container = scene.docker(kind).detach(words);
    container.says("busy");
    until("300 ms of processor time", || {
        (stats(&container)["cpu_stats"]["cpu_usage"]["total_usage"].as_u64()? > 300_000_000).then_some(())
    });
}

fn the_metrics_of_a_task_are_told(scene: &Scene, kind: Kind) {
    let task = scene.ctr(kind).start(kind.sleeper());
    let number = |metrics: &Value, paths: &[&str]| paths.iter().find_map(|path| metrics.pointer(path)?.as_u64());
    until("metrics of all kinds", || {
        let text = ctr(["task", "metrics", "--format", "json", &task.id]).run().stdout;
        let metrics: Value = serde_json::from_str(&text).ok()?;
        let memory = number(&metrics, &["/memory/usage/usage", "/memory/usage"])?;
        let processor = number(&metrics, &["/cpu/usage/total", "/cpu/usage_usec"])?;
        (memory > 0 && processor > 0 && metrics["pids"]["current"] == 1).then_some(())
    });
}

fn the_stats_of_a_pod_s_container_are_told(scene: &Scene, kind: Kind) {
    let container = scene.pod(kind).container(kind, &kind.sleeper());
    container.says("sleeping");
    until("stats of memory and processor", || {
        let text = crictl(["stats", "-o", "json", &container.id]).run().stdout;
        let stats: Value = serde_json::from_str(&text).ok()?;
        let number = |path: &str| stats.pointer(path)?.as_str()?.parse::<u64>().ok();
        let memory = number("/stats/0/memory/workingSetBytes/value")?;
        let processor = number("/stats/0/cpu/usageCoreNanoSeconds/value")?;
        (memory > 0 && processor > 0).then_some(())
    });
}
