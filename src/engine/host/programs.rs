//! What the host does for other programs in containers, and for changes of containers that run.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use wasmedge_shim_protocol::{Exec, Failure, Update};

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
            self.cannot_start(caller, &error);
        }
    }

    fn start_exec(&mut self, caller: Caller, exec: Exec, fds: Vec<OwnedFd>) -> Result<()> {
        let mut fds = fds.into_iter();
        let process = fds.next().context("the program's description did not come")?;
        let stdio = stdio::arrange(exec.stdio, fds.collect())?;
        let keep: Vec<_> = stdio.iter().chain([&process]).map(AsFd::as_fd).collect();
        let location = &self.location;
        let about = self.called(&exec.key);
        let worker = Worker::spawn(Some(&about), &self.confinement, &keep, || {
            let copies = stdio::duplicate(&stdio).and_then(|stdio| Ok((process.try_clone()?, stdio)));
            let (process, stdio) = copies.map_err(|error| Failure::internal(error.to_string()))?;
            sandbox::exec(location, &exec, process, stdio)
        })?;
        self.add_worker(worker, Job::Exec(exec.key, caller), &about, self.patience)
    }

    pub(super) fn update(&mut self, caller: Caller, update: Update) {
        let location = &self.location;
        let work = || sandbox::update(location, &update).map(|reply| (reply, Vec::new()));
        let about = self.called(&update.key);
        let worker = Worker::spawn(Some(&about), &self.confinement, &[], work).map_err(anyhow::Error::from);
        let job = Job::Short("updating", caller);
        if let Err(error) = worker.and_then(|worker| self.add_worker(worker, job, &about, self.patience / 2)) {
            self.cannot_start(caller, &error);
        }
    }
}
