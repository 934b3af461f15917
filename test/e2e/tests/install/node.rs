//! The node itself: installed into its containerd and its Docker while they run, used, and taken out again.

use std::{fs, path::Path};

use e2e::{Finished, Kind, Scene, command, docker::docker, node::service, until};

use super::roots::{self, SHIM};

/// A file that is as it was when this is dropped, after which `service` is started with it.
struct Restored {
    path: &'static str,
    text: String,
    service: &'static str,
}

impl Restored {
    /// Gives the service another configuration, and starts it with that.
    fn change(path: &'static str, name: &'static str, text: &str) -> Self {
        let restored = Self { path, text: e2e::command::read(path), service: name };
        fs::write(path, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        restart(name);
        restored
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        fs::write(self.path, &self.text).expect("putting a file of the node back");
        restart(self.service);
    }
}

fn restart(name: &str) {
    service("restart", name);
    until("Docker", || (docker(["run", "--rm", "localhost/busybox", "true"]).finish().code == 0).then_some(()));
}

fn shim(words: &[&str]) -> Finished {
    command(SHIM).args(words.iter().copied()).finish()
}

/// The node's configuration without its section of the handler.
fn without_handler(path: &str) -> String {
    let text = e2e::command::read(path);
    let at = text.lines().position(|line| line.contains("runtimes.wasmedge]")).expect("the handler");
    text.lines().take(at).map(|line| format!("{line}\n")).collect()
}

#[test]
fn pods_run_after_an_installation_and_keep_it_from_being_taken_back() {
    const CONFIG: &str = "/etc/containerd/config.toml";
    let scene = Scene::new();
    let before = without_handler(CONFIG);
    let _restored = Restored::change(CONFIG, "containerd", &before);
    shim(&["install"]).fails().says_in_one_line(&["containerd (pid ", "docker (pid ", "--runtime=containerd"]);
    shim(&["check", "--runtime=containerd"]).exits(1).says_on_stdout("the handler wasmedge is not in");
    let shown = shim(&["install", "--runtime=containerd", "--dry-run"]).exits(0);
    shown.says_on_stdout("+  pod_annotations = [\"io.wasmedge.*\", \"module.wasm.image/*\"]");
    // This node has no systemd, which is known before anything is done.
    shim(&["install", "--runtime=containerd", "--restart"]).fails().says_in_one_line(&["is in no unit of systemd"]);
    assert_eq!(e2e::command::read(CONFIG), before);
    shim(&["install", "--runtime=containerd"]).exits(0).says_on_stdout("note: to take effect: ");
    // As after one that was killed before it could restart.
    shim(&["install", "--runtime=containerd"])
        .exits(0)
        .says_on_stdout("nothing to do")
        .says_on_stdout("note: to take effect: ");
    shim(&["install", "--runtime=containerd", "--restart"]).fails().says_in_one_line(&["is in no unit of systemd"]);
    restart("containerd");
    let again = shim(&["install", "--runtime=containerd", "--restart"]).exits(0).says_on_stdout("nothing to do");
    assert!(!again.stdout.contains("to take effect"), "{again}");
    {
        let pod = scene.pod(Kind::Wasm);
        let container = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
        container.says("sleeping");
        shim(&["check", "--runtime=containerd"])
            .exits(0)
            .says_on_stdout("the engine of /usr/local/bin/containerd-shim-wasmedge-v1 runs a module");
        let refused = shim(&["uninstall"]).fails();
        refused.says_in_one_line(&[&format!("k8s.io/{}", container.id), "--force"]);
        pod.stop();
        pod.remove();
    }
    until("the end of all shims", || e2e::engine::shims().is_empty().then_some(()));
    shim(&["uninstall"]).exits(0);
    assert_eq!(e2e::command::read(CONFIG), before);
    assert!(!Path::new("/etc/containerd/conf.d").exists());
    shim(&["uninstall"]).exits(0).says_on_stdout("nothing to do");
    assert!(Path::new(SHIM).exists(), "it was there before");
}

#[test]
fn docker_runs_containers_by_the_short_name_after_an_installation() {
    const CONFIG: &str = "/etc/docker/daemon.json";
    let scene = Scene::new();
    let before =
        "{\n\t\"live-restore\": false,\n\t\"runtimes\": {\n\t\t\"other\": { \"path\": \"/usr/bin/runc\" }\n\t}\n}\n";
    let own: serde_json::Value = serde_json::from_str(&e2e::command::read(CONFIG)).expect("JSON");
    let mut all: serde_json::Value = serde_json::from_str(before).expect("JSON");
    for (name, value) in own.as_object().expect("an object").iter().filter(|(name, _)| *name != "runtimes") {
        all[name] = value.clone();
    }
    let before = serde_json::to_string_pretty(&all).expect("JSON").replace("  ", "\t") + "\n";
    let _restored = Restored::change(CONFIG, "dockerd", &before);
    let options = scene.directory().join("options.toml");
    fs::write(&options, "[engine]\nstatistics = true\n").expect("a file");
    let words = ["install", "--runtime=docker", "--options", options.to_str().expect("UTF-8")];
    shim(&words).exits(0).says_on_stdout("changed /etc/docker/daemon.json");
    restart("dockerd");
    let run = ["run", "--rm", "--label", "e2e", "--runtime=wasmedge", "localhost/wasm", "/hello.wasm", "there"];
    docker(run).run().says_on_stdout("there").says_in_one_line(&["/hello.wasm statistics: instructions="]);
    shim(&["check", "--runtime=docker"]).exits(0).says_on_stdout("the runtime wasmedge is in /etc/docker/daemon.json");
    shim(&["install", "--runtime=docker"]).exits(0).says_on_stdout("nothing to do");
    until("the end of all shims", || e2e::engine::shims().is_empty().then_some(()));
    shim(&["uninstall", "--runtime=docker"]).exits(0);
    assert_eq!(e2e::command::read(CONFIG), before);
    assert!(!Path::new("/etc/containerd-shim-wasmedge.toml").exists());
    drop(scene);
}

#[test]
fn containerd_s_version_is_asked_and_told() {
    let _scene = Scene::new();
    let (major, minor) = roots::containerd();
    let findings = shim(&["check", "--runtime=containerd", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&findings.stdout).expect("JSON");
    let named = |finding: &serde_json::Value| {
        finding["found"].as_str().is_some_and(|found| found.contains(&format!("containerd {major}.{minor}")))
    };
    assert!(found.as_array().expect("a list").iter().any(named), "{findings}");
}
