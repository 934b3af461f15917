//! `ctr`, containerd's own client.

use crate::{Command, Finished, Kind, command, process::Process, until, within};
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// `ctr ARGUMENTS`, in containerd's namespace `default`.
pub fn ctr<T: Into<String>>(words: impl IntoIterator<Item = T>) -> Command {
    command("ctr").args(words)
}

/// `ctr run` under construction.
#[derive(Clone, Debug)]
pub struct Run {
    name: String,
    image: String,
    flags: Vec<String>,
}

impl Run {
    /// Runs what is of `kind` as the container `name`.
    pub fn new(name: String, kind: Kind) -> Self {
        Self { name, image: kind.image().to_owned(), flags: vec![format!("--runtime={}", kind.runtime())] }
    }

    /// Adds flags of `ctr run`.
    pub fn flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Another image than the kind's: `localhost/NAME:latest`.
    pub fn image(mut self, name: &str) -> Self {
        self.image = format!("localhost/{name}:latest");
        self
    }

    /// The container's id.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// `ctr run --rm` with these words as the command.
    pub fn command<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Command {
        let words = words.into_iter().map(Into::into).filter(|word: &String| !word.is_empty());
        ctr(["run", "--rm"]).args(self.flags.clone()).args([&self.image, &self.name]).args(words)
    }

    /// As [`Run::command`], to its end.
    #[track_caller]
    pub fn run<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Finished {
        self.command(words).finish()
    }

    /// A container without a task yet, and a file that will have the output.
    #[track_caller]
    pub fn create<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Task {
        let create = ctr(["containers", "create"]).args(self.flags.clone());
        create.args([&self.image, &self.name]).args(words).run();
        Task { id: self.name.clone() }
    }

    /// A container with a running task, whose output goes to a file.
    #[track_caller]
    pub fn start<T: Into<String>>(&self, words: impl IntoIterator<Item = T>) -> Task {
        let task = self.create(words);
        task.start();
        task
    }
}

/// A container of containerd and its task, if it has one.
#[derive(Clone, Debug)]
pub struct Task {
    /// The container's id.
    pub id: String,
}

impl Task {
    /// Starts a task for the container, without waiting for its end.
    #[track_caller]
    pub fn start(&self) {
        ctr(["task", "start", "--detach", "--null-io", &self.id]).run();
    }

    /// As [`Task::start`], unless containerd still knows a task of this name.
    #[track_caller]
    pub fn start_if_free(&self) -> bool {
        let started = ctr(["task", "start", "--detach", "--null-io", &self.id]).finish();
        if started.stderr.contains("already exists") {
            return false;
        }
        started.exits(0);
        true
    }

    /// As [`Task::start`], with the output in `log`.
    #[track_caller]
    pub fn start_with_log(&self, log: &std::path::Path) {
        ctr(["task", "start", "--detach", "--log-uri", &format!("file://{}", log.display()), &self.id]).run();
    }

    /// `ctr task ls`: pid and state, such as `RUNNING`.
    pub fn state(&self) -> Option<(i32, String)> {
        let list = ctr(["task", "ls"]).run();
        let line = list.stdout.lines().find(|line| line.split_whitespace().next() == Some(&self.id))?;
        let mut fields = line.split_whitespace().skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.to_owned()))
    }

    /// The first process of a task that runs.
    #[track_caller]
    pub fn init(&self) -> Process {
        let (pid, _) = self.state().unwrap_or_else(|| panic!("there is no task {}", self.id));
        Process::of(pid).unwrap_or_else(|| panic!("task {} has no process {pid}", self.id))
    }

    /// Waits until the task has ended.
    #[track_caller]
    pub fn stopped(&self) {
        until(&format!("the end of task {}", self.id), || (self.state()?.1 == "STOPPED").then_some(()));
    }

    /// `ctr task exec FLAGS ID WORDS` with a new exec id.
    pub fn exec<T: Into<String>>(&self, flags: &[&str], words: impl IntoIterator<Item = T>) -> Command {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let exec_id = format!("exec-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.exec_as(&exec_id, flags, words)
    }

    /// `ctr task exec --exec-id ID FLAGS ID WORDS`.
    pub fn exec_as<T: Into<String>>(
        &self,
        exec_id: &str,
        flags: &[&str],
        words: impl IntoIterator<Item = T>,
    ) -> Command {
        ctr(["task", "exec", "--exec-id", exec_id]).args(flags.iter().copied()).arg(&self.id).args(words)
    }

    /// `ctr task kill -s SIGNAL`.
    #[track_caller]
    pub fn kill(&self, signal: &str) {
        ctr(["task", "kill", "-s", signal, &self.id]).run();
    }

    /// `ctr task delete` of a task that has ended: its exit code, which ctr tells unless it is 0.
    #[track_caller]
    pub fn delete(&self) -> i32 {
        let deleted = ctr(["task", "delete", &self.id]).run();
        assert!(self.state().is_none(), "task {} is still there\n{deleted}", self.id);
        let told = deleted.stderr.rsplit_once("non-zero exit code ");
        told.map_or(0, |(_, code)| code.trim_end_matches(['"', '\n']).parse().expect("an exit code is a number"))
    }

    /// Removes the container, which has no task any more.
    #[track_caller]
    pub fn remove(&self) {
        ctr(["containers", "delete", &self.id]).run();
    }
}

/// Removes all that the tests made, without panics, as it cleans up after failures too.
pub fn remove_all() {
    let list = |words: [&str; 3]| {
        let found = ctr(words).try_finish().map(|found| found.stdout).unwrap_or_default();
        found.split_whitespace().filter(|id| id.starts_with("e2e-")).map(String::from).collect::<Vec<_>>()
    };
    for id in list(["task", "ls", "-q"]) {
        let _ = ctr(["task", "kill", "-s", "KILL", &id]).try_finish();
        // What it says tells nothing: the exit code of a task that was killed is an error to it.
        let deleted = || {
            let _ = ctr(["task", "delete", "--force", &id]).try_finish();
            (!list(["task", "ls", "-q"]).contains(&id)).then_some(())
        };
        within(Duration::from_secs(5), deleted);
    }
    for id in list(["containers", "ls", "-q"]) {
        let _ = ctr(["containers", "delete", &id]).try_finish();
    }
}
