//! `crictl`: pods through containerd's CRI, as a kubelet makes them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{Command, Finished, Kind, command, process::Process, until};

/// `crictl ARGUMENTS`.
pub fn crictl<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Command {
    command("crictl").args(words)
}

/// A pod's sandbox.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The sandbox's id.
    pub id: String,
    name: String,
    config: PathBuf,
}

/// A container in a pod.
#[derive(Clone, Debug)]
pub struct Container {
    /// The container's id.
    pub id: String,
}

impl Pod {
    /// Runs a pod; `directory` gets its configuration and the logs of its containers.
    #[track_caller]
    pub fn start(name: String, kind: Kind, directory: &Path) -> Self {
        Self::start_with(name, kind, directory, |_| ())
    }

    /// As [`Pod::start`], with a change of the pod's configuration.
    #[track_caller]
    pub fn start_with(name: String, kind: Kind, directory: &Path, change: impl FnOnce(&mut Value)) -> Self {
        Self::start_under(if kind == Kind::Runc { "runc" } else { "wasmedge" }, name, directory, change)
    }

    /// As [`Pod::start_with`], under a runtime handler of containerd's configuration.
    #[track_caller]
    pub fn start_under(handler: &str, name: String, directory: &Path, change: impl FnOnce(&mut Value)) -> Self {
        let config = directory.join(format!("{name}.json"));
        let mut pod = json!({
            "metadata": { "name": name, "uid": name, "namespace": "e2e", "attempt": 0 },
            "log_directory": directory.join("logs"),
            "linux": { "cgroup_parent": cgroup_parent() },
        });
        change(&mut pod);
        write(&config, &pod);
        let run = crictl(["runp", "--runtime", handler]).arg(config.display().to_string()).run();
        Self { id: run.stdout.trim().to_owned(), name, config }
    }

    /// Starts a container with these words as its command, from the image of `kind`.
    #[track_caller]
    pub fn container(&self, kind: Kind, words: &[&str]) -> Container {
        self.try_container(kind, words).unwrap_or_else(|refused| panic!("the container does not start\n{refused}"))
    }

    /// As [`Pod::container`], for one that may be refused.
    ///
    /// # Errors
    /// The `crictl start` that failed.
    #[track_caller]
    pub fn try_container(&self, kind: Kind, words: &[&str]) -> Result<Container, Finished> {
        self.try_container_with(kind, words, |_| ())
    }

    /// As [`Pod::container`], with a change of the container's configuration.
    #[track_caller]
    pub fn container_with(&self, kind: Kind, words: &[&str], change: impl FnOnce(&mut Value)) -> Container {
        let started = self.try_container_with(kind, words, change);
        started.unwrap_or_else(|refused| panic!("the container does not start: {}\n{refused}", refused.stderr))
    }

    /// As [`Pod::try_container`], with a change of the container's configuration.
    ///
    /// # Errors
    /// The `crictl start` that failed.
    #[track_caller]
    pub fn try_container_with(
        &self,
        kind: Kind,
        words: &[&str],
        change: impl FnOnce(&mut Value),
    ) -> Result<Container, Finished> {
        let name = format!("{}-{kind:?}", self.name).to_lowercase();
        let config = self.config.with_extension(format!("{kind:?}.json"));
        let mut container = json!({
            "metadata": { "name": name, "attempt": 0 },
            "image": { "image": kind.image() },
            "command": words,
            "log_path": format!("{name}.log"),
            "linux": {},
        });
        change(&mut container);
        write(&config, &container);
        let files = [config.display().to_string(), self.config.display().to_string()];
        let id = crictl(["create", &self.id]).args(files).run().stdout.trim().to_owned();
        let started = crictl(["start", &id]).finish();
        if started.code == 0 { Ok(Container { id }) } else { Err(started) }
    }

    /// The pod's address.
    #[track_caller]
    pub fn address(&self) -> String {
        let text = crictl(["inspectp", &self.id]).run().stdout;
        let inspected: Value = serde_json::from_str(&text).expect("crictl inspectp prints JSON");
        let address = inspected["status"]["network"]["ip"].as_str();
        address.unwrap_or_else(|| panic!("pod {} has no address", self.id)).to_owned()
    }

    /// `crictl stopp`.
    #[track_caller]
    pub fn stop(&self) {
        crictl(["stopp", &self.id]).run();
    }

    /// `crictl rmp`.
    #[track_caller]
    pub fn remove(&self) {
        crictl(["rmp", &self.id]).run();
    }
}

impl Container {
    /// `crictl inspect`, the part `status`.
    #[track_caller]
    pub fn status(&self) -> Value {
        let text = crictl(["inspect", &self.id]).run().stdout;
        serde_json::from_str::<Value>(&text).expect("crictl inspect prints JSON")["status"].take()
    }

    /// The container's first process.
    #[track_caller]
    pub fn init(&self) -> Process {
        let text = crictl(["inspect", &self.id]).run().stdout;
        let inspected: Value = serde_json::from_str(&text).expect("crictl inspect prints JSON");
        let pid = inspected["info"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        pid.and_then(Process::of).unwrap_or_else(|| panic!("container {} has no process {pid:?}", self.id))
    }

    /// Waits for the end: the exit code.
    #[track_caller]
    pub fn wait(&self) -> i64 {
        until(&format!("the end of container {}", self.id), || {
            let status = self.status();
            (status["state"] == "CONTAINER_EXITED").then(|| status["exitCode"].as_i64().unwrap_or(-1))
        })
    }

    /// `crictl logs`: both streams.
    #[track_caller]
    pub fn logs(&self) -> Finished {
        crictl(["logs", &self.id]).run()
    }

    /// Waits until the container has said `text` on standard output.
    #[track_caller]
    pub fn says(&self, text: &str) {
        until(&format!("{text:?} in the log of {}", self.id), || self.logs().stdout.contains(text).then_some(()));
    }
}

/// Where pods' cgroups are. With the systemd driver `E2E_CGROUP_PARENT` names a slice, as a kubelet does.
fn cgroup_parent() -> String {
    std::env::var("E2E_CGROUP_PARENT").unwrap_or_else(|_| "/k8s.io".into())
}

/// Removes every pod, without panics, as it cleans up after failures too.
pub fn remove_all() {
    let Ok(pods) = crictl(["pods", "-q"]).try_finish() else { return };
    for id in pods.stdout.split_whitespace() {
        let _ = crictl(["stopp", id]).try_finish();
        let _ = crictl(["rmp", "-f", id]).try_finish();
    }
}

fn write(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}
