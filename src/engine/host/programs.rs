//! What the host does for other programs in containers, and for changes of containers that run.

use std::{
    fs,
    os::fd::{AsFd, OwnedFd},
};

use anyhow::{Context, Result};
use wasmedge_shim_protocol::{ContainerKey, Exec, Exit, Failure, FromHost, Outcome, Reply, Update};

use super::{
    job::{Caller, Job},
    state::Host,
    stdio,
    worker::Worker,
};
use crate::sandbox;

impl Host {
    pub(super) fn exec(&mut self, caller: Caller, exec: Exec, fds: Vec<OwnedFd>) {
        if let Err(error) = self.start_exec(caller, exec, fds) {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
        }
    }

    fn start_exec(&mut self, caller: Caller, exec: Exec, fds: Vec<OwnedFd>) -> Result<()> {
        let mut fds = fds.into_iter();
        let process = fds.next().context("the program's description did not come")?;
        let stdio = stdio::arrange(exec.stdio, fds.collect())?;
        let keep: Vec<_> = stdio.iter().chain([&process]).map(AsFd::as_fd).collect();
        let location = &self.location;
        let worker = Worker::spawn(&keep, || {
            let copies = stdio::duplicate(&stdio).and_then(|stdio| Ok((process.try_clone()?, stdio)));
            let (process, stdio) = copies.map_err(|error| Failure::internal(error.to_string()))?;
            sandbox::exec(location, &exec, process, stdio)
        })?;
        self.add_worker(worker, Job::Exec(exec.key, caller))
    }

    pub(super) fn finish_exec(&mut self, key: ContainerKey, caller: Caller, outcome: Outcome, fds: Vec<OwnedFd>) {
        let executed = if let Ok(Reply::Executed(pid)) = &outcome { Some(pid.cast_signed()) } else { None };
        self.reply(caller, outcome, fds);
        let (Some(pid), Caller::Shim { connection, .. }) = (executed, caller) else { return };
        match self.unclaimed.remove(&pid) {
            Some(status) => {
                let exit = Exit { key, pid: pid.unsigned_abs(), status };
                self.send(connection, FromHost::Exited(exit), Vec::new());
            }
            None => self.containers.insert_program(key, pid, connection),
        }
    }

    /// A program that its worker had made runs on without anybody knowing: it is ended.
    pub(super) fn exec_died(&mut self, key: &ContainerKey, caller: Caller) {
        let cgroups = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
        if let Some(init) = self.containers.get(key).map(|container| container.pid)
            && let Some(theirs) = cgroups(init)
        {
            self.kill_strays(|pid| cgroups(pid).is_some_and(|cgroups| cgroups == theirs));
        }
        let failure = Failure::internal(format!("the worker that was running a program in {key} was killed"));
        self.reply(caller, Err(failure), Vec::new());
    }

    pub(super) fn update(&mut self, caller: Caller, update: Update) {
        let location = &self.location;
        let worker = Worker::spawn(&[], || sandbox::update(location, &update).map(|reply| (reply, Vec::new())));
        let started = worker
            .map_err(anyhow::Error::from)
            .and_then(|worker| self.add_worker(worker, Job::Short("updating", caller)));
        if let Err(error) = started {
            self.reply(caller, Err(Failure::internal(format!("cannot start a worker: {error:#}"))), Vec::new());
        }
    }
}
