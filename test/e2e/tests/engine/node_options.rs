//! The node's own options, which hold for whatever a container comes by.

use std::fs;

use e2e::{Finished, Kind, Scene};

const DIRECTORY: &str = "/etc/containerd-shim-wasmedge";
const LIMIT: &str = "[engine]\ngas_limit = 3000000\n";

/// The node's options, which are taken away again.
struct NodeOptions;

impl NodeOptions {
    fn new(text: &str) -> Self {
        fs::create_dir(DIRECTORY).unwrap();
        fs::write(format!("{DIRECTORY}/options.toml"), text).unwrap();
        Self
    }
}

impl Drop for NodeOptions {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(DIRECTORY);
    }
}

#[track_caller]
fn is_limited(run: Finished) {
    run.exits(134).says_in_one_line(&["gas", "the limit is 3000000"]);
}

#[test]
fn they_hold_for_clients_and_handlers_that_pass_none_on() {
    let scene = Scene::new();
    let _options = NodeOptions::new(LIMIT);
    is_limited(scene.ctr(Kind::Wasm).run(["/busy.wasm"]));
    is_limited(scene.docker(Kind::Wasm).run(["/busy.wasm"]));
    // As k3s has it for a shim that it finds, and by the path of the program, as containerd 2.0 and 2.1 need it.
    for handler in ["wasmedge-found", "wasmedge-path"] {
        let container = scene.pod_under(handler, |_| ()).container(Kind::Wasm, &["/busy.wasm"]);
        assert_eq!(container.wait(), 134, "{handler}: {}", container.logs());
        container.logs().says_in_one_line(&["gas", "the limit is 3000000"]);
    }
}

#[test]
fn a_handler_s_own_come_first() {
    let scene = Scene::new();
    let _options = NodeOptions::new("annotations = \"pod\"\n[engine]\ngas_limit = 1\ntime_limit_ms = 700\n");
    // It has a limit of 100,000,000 units, and 60 s.
    let pod = scene.pod_under("wasmedge-limited", |_| ());
    let container = pod.container(Kind::Wasm, &["/sleep.wasm", "1"]);
    assert_eq!(container.wait(), 0, "{}", container.logs());
}

#[test]
fn what_is_wrong_with_them_is_said_to_whoever_starts_a_container() {
    let scene = Scene::new();
    let _options = NodeOptions::new("[aot]\npolicy = \"often\"\n");
    let run = scene.ctr(Kind::Wasm).run(["/hello.wasm"]);
    assert_ne!(run.code, 0, "{run}");
    run.says_in_one_line(&["/etc/containerd-shim-wasmedge/options.toml", "aot.policy", "often"]);
}
