//! Signals end a module at once, with exit code 128 + n.

use std::time::{Duration, Instant};

use e2e::{Kind, Scene, docker::Container};

/// `docker stop` of a module, with the time that the command line client takes.
const PROMPT: Duration = Duration::from_millis(1500);

fn sleeping(scene: &Scene) -> Container {
    let container = scene.docker(Kind::Wasm).detach(["/sleep.wasm", "600"]);
    container.says("sleeping").clone()
}

fn busy(scene: &Scene) -> Container {
    let container = scene.docker(Kind::Wasm).detach(["/busy.wasm"]);
    container.says("busy").clone()
}

#[test]
fn docker_stop_ends_a_sleeping_module_at_once() {
    let scene = Scene::new();
    let container = sleeping(&scene);
    container.stop().takes_less_than(PROMPT);
    assert_eq!(container.exit_code(), 143);
}

#[test]
fn docker_stop_ends_a_busy_module_at_once() {
    let scene = Scene::new();
    let container = busy(&scene);
    container.stop().takes_less_than(PROMPT);
    assert_eq!(container.exit_code(), 143);
}

#[test]
fn docker_stop_ends_a_module_that_waits_for_input_or_clients() {
    let scene = Scene::new();
    let cat = scene.docker(Kind::Wasm).flag("-i").detach(["/cat.wasm"]);
    let server = scene.docker(Kind::Wasm).detach(["/http.wasm", "8080"]);
    server.says("listening on 8080");
    for container in [cat, server] {
        container.stop().takes_less_than(PROMPT);
        assert_eq!(container.exit_code(), 143);
    }
}

#[test]
fn a_module_without_any_call_to_the_host_is_stopped_too() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/endless-loop.wasm"]);
    container.stop().takes_less_than(PROMPT);
    assert_eq!(container.exit_code(), 143);
}

#[test]
fn every_signal_that_asks_to_end_is_told_by_the_exit_code() {
    let scene = Scene::new();
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("KILL", 9), ("TERM", 15)] {
        let container = sleeping(&scene);
        container.kill(signal);
        assert_eq!(container.wait(), 128 + number, "after SIG{signal}");
    }
}

#[test]
fn a_stop_signal_of_the_user_s_choice_works() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).flag("--stop-signal=INT").detach(["/sleep.wasm", "600"]);
    container.says("sleeping").stop().takes_less_than(PROMPT);
    assert_eq!(container.exit_code(), 130);
}

#[test]
fn control_c_in_docker_run_ends_the_module() {
    let scene = Scene::new();
    let mut run = scene.docker(Kind::Wasm).command(["/sleep.wasm", "600"]).spawn();
    e2e::until("sleeping", || run.stdout().contains("sleeping").then_some(()));
    let start = Instant::now();
    run.signal(nix::sys::signal::Signal::SIGINT);
    assert!(run.wait(Duration::from_secs(10)), "docker run goes on after SIGINT");
    assert!(start.elapsed() < PROMPT, "it took {:?}", start.elapsed());
    run.end().exits(130);
}

#[test]
fn a_linux_program_handles_its_signals_itself() {
    let scene = Scene::new();
    for kind in [Kind::Linux, Kind::Runc] {
        let script = "trap 'echo bye; exit 5' TERM; echo ready; while true; do sleep 0.05; done";
        let container = scene.docker(kind).detach(["sh", "-c", script]);
        container.says("ready").stop().takes_less_than(Duration::from_secs(5));
        assert_eq!((container.exit_code(), &*container.logs().stdout), (5, "ready\nbye\n"), "{kind:?}");
    }
}

#[test]
fn a_linux_program_without_a_handler_is_killed_after_the_grace_period() {
    let scene = Scene::new();
    for kind in [Kind::Linux, Kind::Runc] {
        let container = scene.docker(kind).detach(["sleep", "600"]);
        container.docker(["stop", "-t", "1"]).takes_less_than(Duration::from_secs(5));
        assert_eq!(container.exit_code(), 137, "{kind:?}");
    }
}
