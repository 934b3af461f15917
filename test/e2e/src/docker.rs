//! `docker`, as people use it.

use std::time::Duration;

use crate::{Command, Finished, Kind, command, process::Process, until};

/// By this label the tests' containers, networks and volumes are known.
const LABEL: &str = "e2e";

/// `docker ARGUMENTS`.
pub fn docker<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Command {
    command("docker").args(words)
}

/// `docker run` or `docker create` under construction.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    image: String,
    flags: Vec<String>,
    input: Option<Vec<u8>>,
}

impl Run {
    /// Runs what is of `kind` as the container `name`.
    pub fn new(name: String, kind: Kind) -> Self {
        let flags = vec![format!("--runtime={}", kind.runtime())];
        Self { name, image: kind.image().to_owned(), flags, input: None }
    }

    /// Adds a flag of `docker run`.
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Adds flags of `docker run`.
    pub fn flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// The container's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another image than the kind's: `localhost/NAME:latest`.
    pub fn image(mut self, name: &str) -> Self {
        self.image = format!("localhost/{name}:latest");
        self
    }

    /// Standard input of the container.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self.flag("-i")
    }

    /// `docker run --rm` with these words as the command.
    pub fn command<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Command {
        let command = self.words("run", ["--rm"], words);
        match &self.input {
            Some(bytes) => command.input(bytes.clone()),
            None => command,
        }
    }

    /// As [`Run::command`], to its end.
    #[track_caller]
    pub fn run<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Finished {
        self.command(words).finish()
    }

    /// `docker run` without `--rm`, to its end, so that the container can be looked at.
    #[track_caller]
    pub fn keep<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> (Finished, Container) {
        (self.words("run", [], words).finish(), Container { name: self.name.clone() })
    }

    /// `docker run -d`.
    #[track_caller]
    pub fn detach<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Container {
        self.words("run", ["-d"], words).run();
        Container { name: self.name.clone() }
    }

    /// `docker create`.
    #[track_caller]
    pub fn create<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Container {
        self.words("create", [], words).run();
        Container { name: self.name.clone() }
    }

    fn words<T: Into<String>, const N: usize>(
        &self,
        verb: &str,
        more: [&str; N],
        words: impl IntoIterator<Item = T>,
    ) -> Command {
        let start = docker([verb]).args(more).args(["--name", &self.name, "--label", LABEL]);
        start.args(self.flags.clone()).arg(&self.image).args(words)
    }
}

/// A container that is there until it is removed.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
}

impl Container {
    /// `docker VERB FLAGS NAME`, which must succeed.
    #[track_caller]
    pub fn docker<const N: usize>(&self, words: [&str; N]) -> Finished {
        docker(words).arg(&self.name).run()
    }

    /// `docker exec FLAGS NAME WORDS`.
    pub fn exec<T: Into<String>>(&self, flags: &[&str], words: impl IntoIterator<Item = T>) -> Command {
        docker(["exec"]).args(flags.iter().copied()).arg(&self.name).args(words)
    }

    /// `docker logs`.
    #[track_caller]
    pub fn logs(&self) -> Finished {
        self.docker(["logs"])
    }

    /// Waits until the container has said `text` on standard output.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        until(&format!("{text:?} in the log of {}", self.name), || self.logs().stdout.contains(text).then_some(()));
        self
    }

    /// `docker wait`: the exit code.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.docker(["wait"]).stdout.trim().parse().expect("docker wait prints a number")
    }

    /// `docker inspect` of one field, such as `.State.Pid`.
    #[track_caller]
    pub fn inspect(&self, field: &str) -> String {
        self.docker(["inspect", "--format", &format!("{{{{{field}}}}}")]).stdout.trim().to_owned()
    }

    /// The exit code of a container that has ended.
    #[track_caller]
    pub fn exit_code(&self) -> i32 {
        assert_eq!(self.inspect(".State.Running"), "false", "container {} still runs", self.name);
        self.inspect(".State.ExitCode").parse().expect("an exit code is a number")
    }

    /// The container's first process.
    #[track_caller]
    pub fn init(&self) -> Process {
        let pid = self.inspect(".State.Pid").parse().expect("a pid is a number");
        Process::of(pid).unwrap_or_else(|| panic!("container {} has no process {pid}", self.name))
    }

    /// The processes in it, by `docker top`.
    #[track_caller]
    pub fn processes(&self) -> Vec<Process> {
        let top = docker(["top", &self.name, "-o", "pid"]).run();
        // One that ends in the meantime is none.
        top.lines().iter().skip(1).filter_map(|line| Process::of(line.trim().parse().ok()?)).collect()
    }

    /// Waits for a process in it with this command line.
    #[track_caller]
    pub fn process(&self, command: &str) -> Process {
        let what = format!("the process {command:?} in {}", self.name);
        until(&what, || self.processes().into_iter().find(|process| process.command == command))
    }

    /// `docker stop`, which must be quick: the default is to kill after ten seconds.
    #[track_caller]
    pub fn stop(&self) -> Finished {
        self.docker(["stop"])
    }

    /// `docker kill -s SIGNAL`.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        self.docker(["kill", "-s", signal]);
    }

    /// `docker rm -f`.
    #[track_caller]
    pub fn remove(&self) {
        self.docker(["rm", "-f"]);
    }

    /// The address on Docker's default bridge.
    #[track_caller]
    pub fn address(&self) -> String {
        self.inspect(".NetworkSettings.IPAddress")
    }

    /// What has changed in the container's root file system, as `docker diff` lists it.
    #[track_caller]
    pub fn changed_files(&self) -> Vec<String> {
        self.docker(["diff"]).lines().iter().map(ToString::to_string).collect()
    }
}

/// A user-defined bridge network, removed with the scene of the containers in it.
#[track_caller]
pub fn network(name: &str) {
    docker(["network", "create", "--label", LABEL, name]).run();
}

/// A volume, removed with the scene of the containers that have it.
#[track_caller]
pub fn volume(name: &str) {
    docker(["volume", "create", "--label", LABEL, name]).run();
}

/// Removes all that the tests made. Never panics, since it cleans up after failures too; what it cannot remove is
/// found by the count.
pub fn remove_all() {
    let filter = format!("label={LABEL}");
    for (list, remove) in [
        (&["ps", "-aq"][..], &["rm", "-fv"][..]),
        (&["network", "ls", "-q"], &["network", "rm"]),
        (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
    ] {
        let list = docker(list.iter().copied()).args(["--filter", &filter]).deadline(Duration::from_secs(30));
        let Ok(found) = list.try_finish() else { continue };
        if !found.stdout.is_empty() {
            let _ = docker(remove.iter().copied()).args(found.stdout.split_whitespace()).try_finish();
        }
    }
}
