//! What the host does for each request.

use std::os::fd::OwnedFd;

use anyhow::Result;
use wasmedge_shim_protocol::{ContainerKey, Create, Failure, FailureKind, FromHost, Outcome, Request, ToHost};

use super::{
    connection::ConnectionId,
    job::{Caller, Job},
    state::Host,
    stdio,
    worker::Worker,
};
use crate::{journal::called, noted, sandbox};

impl Host {
    pub(super) fn handle(&mut self, connection: ConnectionId, message: ToHost, fds: Vec<OwnedFd>) {
        let ToHost::Request { id, request } = message else { return };
        let caller = Caller::Shim { connection, request: id };
        match request {
            Request::Create(create) => self.create(caller, *create, fds),
            Request::Start(key) => self.start(caller, key),
            Request::Exec(exec) => self.exec(caller, exec, fds),
            Request::Update(update) => self.update(caller, update),
            Request::Report => self.tell(caller),
            Request::Export(export) => self.export(caller, &export),
            Request::Delete { key, with_siblings } => {
                if with_siblings {
                    self.delete_siblings(&key);
                }
                self.delete(caller, key);
            }
        }
    }

    pub(super) fn reply(&mut self, caller: Caller, outcome: Outcome, fds: Vec<OwnedFd>) {
        match caller {
            Caller::Shim { connection, request: id } => self.send(connection, FromHost::Reply { id, outcome }, fds),
            Caller::Nobody => drop(outcome.map_err(|failure| log::warn!("{failure}"))),
        }
    }

    fn create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) {
        let started = self.start_create(caller, create, fds);
        if let Err(error) = started {
            self.cannot_start(caller, &error);
        }
    }

    fn start_create(&mut self, caller: Caller, create: Create, fds: Vec<OwnedFd>) -> Result<()> {
        if let Some(address) = &create.further.metrics {
            self.expose(address);
        }
        let stdio = stdio::arrange(create.stdio, fds)?;
        let keep: Vec<_> = stdio.iter().map(std::os::fd::AsFd::as_fd).collect();
        let location = &self.location;
        let limit = self.patience;
        let asked = create.further.traced.then(noted::unix_nanos);
        let about = called(&create.key, create.further.pod.as_ref());
        let worker = Worker::spawn(Some(&about), &self.confinement, &keep, || {
            // The worker's copies of the descriptors are its own; the host's are dropped below.
            let stdio = stdio::duplicate(&stdio).map_err(|error| Failure::internal(error.to_string()))?;
            if let Some(asked) = asked {
                noted::trace(asked);
            }
            sandbox::create(location, &create, stdio)
        })?;
        self.add_worker(worker, Job::Create(create.key, caller, create.further.pod), &about, limit)
    }

    fn start(&mut self, caller: Caller, key: ContainerKey) {
        let container = self.containers.get(&key);
        if let Some(status) = container.and_then(|container| container.status) {
            let cause = format!("the init of {key} ended with code {} before it was started", status.code);
            return self.reply(caller, Err(Failure::new(FailureKind::FailedPrecondition, cause)), Vec::new());
        }
        if container.is_some_and(|container| !container.late_hooks) {
            let outcome = sandbox::start(&self.location, &key);
            return self.reply(caller, outcome, Vec::new());
        }
        let location = &self.location;
        let start = || sandbox::start_with_hooks(location, &key).map(|reply| (reply, Vec::new()));
        let about = self.called(&key);
        let worker = Worker::spawn(Some(&about), &self.confinement, &[], start).map_err(anyhow::Error::from);
        let job = Job::Short("starting", caller);
        let added = worker.and_then(|worker| self.add_worker(worker, job, &about, self.patience));
        if let Err(error) = added {
            self.cannot_start(caller, &error);
        }
    }

    /// After a pod's shim that is gone containerd asks for the deletion of one container only, the one that the shim was
    /// started for. The pod's others have nobody left, either. That the connection is gone says nothing by itself: a
    /// shim that lives makes another one.
    fn delete_siblings(&mut self, key: &ContainerKey) {
        let Some(owner) = self.containers.get(key).map(|container| container.owner) else { return };
        if self.is_connected(owner) {
            return;
        }
        for sibling in self.containers.owned_by(owner).into_iter().filter(|sibling| sibling != key) {
            log::info!("{} goes with {key}, whose shim is gone", self.called(&sibling));
            self.delete(Caller::Nobody, sibling);
        }
    }
}
