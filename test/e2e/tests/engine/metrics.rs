//! The engine host's metrics.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    time::{Duration, Instant},
};

use e2e::{Kind, Scene, command, ctr::Task, engine, metrics::Metrics, process::Process, until};

use super::with_options;

const MODULE: &str = "kind=\"wasm\"";

/// Ends a task and removes it.
#[track_caller]
fn end(task: &Task) {
    task.kill("KILL");
    task.stopped();
    task.delete();
    task.remove();
}

#[test]
fn metrics_are_off_until_an_option_says_where_they_are() {
    let scene = Scene::new();
    let without = with_options(&scene, "[aot]\npolicy = \"off\"\n", &[]);
    without.run(["/hello.wasm"]).exits(0);
    let status = command(engine::BINARY).args(["status", "--json"]).run().stdout;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["hosts"][0]["metrics"], serde_json::json!([]), "{status}");
}

#[test]
fn what_runs_and_what_it_has_done_is_told_in_openmetrics() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    let options = metrics.options();
    let module = with_options(&scene, &options, &["statistics=true", "gas-limit=100000000000", "aot=off"]);
    let task = module.start(["/memory.wasm", "33", "600"]);
    let linux = scene.ctr(Kind::Linux).start(["sleep", "600"]);
    let of_it = |name: &str| format!("wasmedge_container_{name}{{namespace=\"default\",id=\"{}\"}}", task.id);
    // The module has some pages of its own.
    let memory = metrics.wait(&of_it("linear_memory_bytes"), |bytes| bytes >= f64::from(33 << 20));
    assert!(memory < f64::from(40 << 20), "{memory}");
    let now = metrics.fetch();
    assert_eq!(now.value("wasmedge_containers_running{kind=\"wasm\"}"), 1.0, "{}", now.text());
    assert_eq!(now.value("wasmedge_containers_running{kind=\"linux\"}"), 1.0);
    assert_eq!(now.value("wasmedge_modules_running{code=\"interpreted\"}"), 1.0);
    assert!(now.value(&of_it("instructions_total")) > 10_000.0);
    assert!(now.value(&of_it("gas_total")) > 10_000.0);
    assert_eq!(now.value(&of_it("gas_limit")), 1e11);
    assert_eq!(now.value("wasmedge_host_shims"), 2.0);
    let created = now.value(&format!("wasmedge_container_creations_total{{{MODULE},result=\"done\"}}"));
    assert!(created >= 1.0 && now.value("wasmedge_container_creation_seconds_count{kind=\"wasm\"}") == created);
    assert!(!now.text().contains(&format!("id=\"{}\"", linux.id)), "a Linux program has no linear memory");
    let host = engine::running_host();
    assert!(now.text().contains(&format!("wasmedge_host_info{{host=\"{}\",version=\"", host.pid)), "{}", now.text());
    end(&task);
    assert_eq!(metrics.fetch().find(&of_it("linear_memory_bytes")), None);
}

#[test]
fn instructions_and_gas_are_counted_while_native_code_runs() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    let module = with_options(&scene, &metrics.options(), &["statistics=true", "aot=require"]);
    let task = module.start(["/busy.wasm"]);
    let gas = format!("wasmedge_container_gas_total{{namespace=\"default\",id=\"{}\"}}", task.id);
    let before = metrics.wait(&gas, |gas| gas > 0.0);
    metrics.wait(&gas, |gas| gas > before + 1e6);
    assert_eq!(metrics.fetch().value("wasmedge_modules_running{code=\"O2\"}"), 1.0);
}

#[test]
fn the_cache_the_compilers_and_failures_are_counted() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    engine::quiet();
    command(engine::BINARY).args(["cache", "prune", "--all"]).run();
    let require = || with_options(&scene, &metrics.options(), &["aot=require", "aot.level=O1"]);
    let sleeper = with_options(&scene, &metrics.options(), &[]).start(["/sleep.wasm", "600"]);
    engine::quiet();
    let before = metrics.fetch();
    require().run(["/hello.wasm"]).exits(0);
    require().run(["/hello.wasm"]).exits(0);
    require().run(["/missing-import.wasm"]).fails();
    let after = metrics.fetch();
    let grew = |sample: &str| after.value(sample) - before.find(sample).unwrap_or_default();
    assert_eq!(grew("wasmedge_native_code_lookups_total{result=\"hit\"}"), 1.0, "{}", after.text());
    assert_eq!(grew("wasmedge_native_code_lookups_total{result=\"miss\"}"), 2.0, "{}", after.text());
    assert_eq!(grew("wasmedge_native_code_waits_total"), 2.0);
    assert!(grew("wasmedge_native_code_wait_seconds_total") > 0.0);
    assert_eq!(grew("wasmedge_compilations_total{level=\"O1\",result=\"done\"}"), 2.0);
    assert!(grew("wasmedge_compilation_seconds_total{level=\"O1\"}") > 0.0);
    assert_eq!(grew("wasmedge_cache_entries{engine=\"this\"}"), 2.0);
    assert!(grew("wasmedge_cache_bytes{engine=\"this\"}") > 1000.0);
    assert!(after.value("wasmedge_cache_limit_bytes") == f64::from(1 << 30));
    assert_eq!(grew(&format!("wasmedge_container_creations_total{{{MODULE},result=\"failed\"}}")), 1.0);
    end(&sleeper);
}

#[test]
fn containers_that_end_for_want_of_memory_are_counted() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    let sleeper = with_options(&scene, &metrics.options(), &[]).start(["/sleep.wasm", "600"]);
    let killed = || metrics.fetch().value("wasmedge_containers_oom_killed_total");
    assert_eq!(killed(), 0.0);
    let module = scene.docker(Kind::Wasm).flags(["-m", "64m"]).run(["/memory.wasm", "100", "trap"]);
    module.exits(134);
    assert_eq!(killed(), 1.0);
    let eats = "x=$(head -c 100m /dev/zero | tr '\\0' x); echo $x";
    scene.docker(Kind::Linux).flags(["-m", "32m", "--memory-swap", "32m"]).run(["sh", "-c", eats]).exits(137);
    assert_eq!(killed(), 2.0);
    let unrelated = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    unrelated.says("sleeping").kill("KILL");
    assert_eq!(unrelated.wait(), 137);
    assert_eq!(killed(), 2.0);
    end(&sleeper);
}

#[test]
fn the_socket_is_root_s_alone() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    with_options(&scene, &metrics.options(), &[]).run(["/hello.wasm"]).exits(0);
    let meta = fs::symlink_metadata(metrics.socket()).unwrap();
    assert!(meta.file_type().is_socket() && meta.uid() == 0);
    assert_eq!(meta.mode() & 0o777, 0o600);
    metrics.request().user(65_534).finish().fails();
    metrics.request().run();
}

#[test]
fn a_loopback_port_is_an_address_too_and_no_other_is() {
    let scene = Scene::new();
    let _ends_hosts = Metrics::new(&scene);
    let options = |address: &str| format!("[metrics]\naddress = \"{address}\"\n");
    with_options(&scene, &options("tcp://127.0.0.1:19107"), &[]).run(["/hello.wasm"]).exits(0);
    let answer = command("curl").args(["--silent", "--include", "http://127.0.0.1:19107/metrics"]).run();
    answer.says_on_stdout("Content-Type: application/openmetrics-text; version=1.0.0");
    let missing = command("curl").args(["--silent", "--fail", "http://127.0.0.1:19107/"]).finish();
    assert_eq!(missing.code, 22, "{missing}");
    for address in ["tcp://0.0.0.0:19108", "tcp://10.0.0.1:19108", "/run/metrics.sock"] {
        let refused = with_options(&scene, &options(address), &[]).run(["/hello.wasm"]);
        refused.fails().says_in_one_line(&["runtime option metrics.address", address]);
    }
}

/// What is no socket stays, and the container runs.
#[test]
fn an_address_that_cannot_be_had_costs_a_line_in_the_log() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    fs::write(metrics.socket(), "kept").unwrap();
    with_options(&scene, &metrics.options(), &[]).run(["/hello.wasm"]).exits(0);
    assert_eq!(fs::read_to_string(metrics.socket()).unwrap(), "kept");
    let line = format!("no metrics at unix://{}: {0} is there and is no socket", metrics.socket().display());
    assert!(engine::log().contains(&line), "{}", engine::log());
}

#[test]
fn who_asks_much_or_nothing_hinders_nobody() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    let module = with_options(&scene, &metrics.options(), &[]);
    module.run(["/hello.wasm"]).exits(0);
    let host = engine::running_host();
    let mut silent: Vec<UnixStream> = (0..16).filter_map(|_| UnixStream::connect(metrics.socket()).ok()).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    }
    std::thread::sleep(Duration::from_millis(1000));
    let answering = Process::all().iter().filter(|process| process.parent == host.pid).count();
    assert!((1..=4).contains(&answering), "{answering} children of the host");
    let begin = Instant::now();
    scene.ctr(Kind::Wasm).run(["/hello.wasm"]).exits(0);
    assert!(begin.elapsed() < e2e::patient(Duration::from_secs(5)));
    drop(silent);
    metrics.fetch();
    let mut large = UnixStream::connect(metrics.socket()).unwrap();
    // It may hang up before all of it is written.
    let _ = large.write_all(&[b"GET /metrics HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat());
    let mut answer = String::new();
    let _ = large.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(engine::running_host().pid, host.pid);
    metrics.fetch();
}

#[test]
fn a_new_host_takes_the_address_over_and_knows_the_containers_of_the_old_one() {
    let scene = Scene::new();
    let metrics = Metrics::new(&scene);
    let module = with_options(&scene, &metrics.options(), &["aot=off"]);
    let old = module.start(["/sleep.wasm", "600"]);
    let memory = format!("wasmedge_container_linear_memory_bytes{{namespace=\"default\",id=\"{}\"}}", old.id);
    metrics.wait(&memory, |bytes| bytes >= 65536.0);
    engine::kill_hosts();
    metrics.request().finish().fails();
    with_options(&scene, &metrics.options(), &[]).run(["/hello.wasm"]).exits(0);
    assert!(metrics.fetch().value(&memory) >= 65536.0);
    end(&old);
    until("no container", || (metrics.fetch().find("wasmedge_containers_running") == Some(0.0)).then_some(()));
}
