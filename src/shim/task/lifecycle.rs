//! The verbs: create, start, kill, delete.

use std::sync::Arc;

use containerd_shim::{
    api::{CreateTaskRequest, KillRequest},
    asynchronous::io::Stdio,
    protos::{
        events::task::{TaskCreate, TaskDelete, TaskIO, TaskStart},
        protobuf::MessageField,
        types::mount::Mount,
    },
};
use log::warn;
use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};
use wasmedge_shim_protocol::{ContainerKey, Create, ExitStatus, RootfsMount};

use super::{
    state::State,
    tasks::{Shared, Task},
};
use crate::{
    cgroup::Cgroups,
    error::{Result, TaskError},
    events::timestamp,
    options::Options,
    stdio,
};

impl Shared {
    /// Creates a container; its init's process id.
    pub async fn create(&self, namespace: &str, request: CreateTaskRequest) -> Result<u32> {
        if request.terminal {
            return Err(TaskError::unimplemented("terminals are not supported by this version"));
        }
        if !request.checkpoint.is_empty() {
            return Err(TaskError::unimplemented("a Wasm container cannot be restored from a checkpoint"));
        }
        let _creating = self.creating.read().await;
        self.tasks.reserve(&request.id)?;
        let created = self.create_reserved(namespace, &request).await;
        match created {
            Ok(task) => {
                let pid = task.pid;
                // Nothing about this container is published before its creation.
                let turn = task.turn.lock().await;
                self.tasks.insert(task.clone());
                self.publisher.publish(create_event(request, pid)).await;
                drop(turn);
                Ok(pid)
            }
            Err(error) => {
                self.tasks.remove(&request.id);
                Err(error)
            }
        }
    }

    async fn create_reserved(&self, namespace: &str, request: &CreateTaskRequest) -> Result<Arc<Task>> {
        let options = request.options.as_ref().map_or_else(|| Ok(Options::default()), Options::from_any);
        let options = options.map_err(|error| TaskError::invalid(error.to_string()))?;
        if let Some(level) = options.log_level {
            log::set_max_level(level);
        }
        let key = ContainerKey { namespace: namespace.to_owned(), id: request.id.clone() };
        let stdio = Stdio::new(&request.stdin, &request.stdout, &request.stderr, false);
        let prepared = stdio::prepare(&stdio)?;
        let create = Create {
            key: key.clone(),
            bundle: request.bundle.clone().into(),
            rootfs: request.rootfs.iter().map(rootfs_mount).collect(),
            stdio: prepared.presence,
            options: options.sandbox,
        };
        match self.engine.create(create, prepared.container_ends).await {
            Ok((created, pidfd)) => {
                let cgroups = Cgroups::new(created.cgroups);
                let bundle = request.bundle.clone();
                Ok(Arc::new(Task::new(key, bundle, stdio, prepared.tasks, created.pid, pidfd, cgroups)))
            }
            Err(error) => {
                prepared.tasks.abort().await;
                Err(error)
            }
        }
    }

    /// Starts a created container; its init's process id.
    pub async fn start(&self, id: &str) -> Result<u32> {
        let task = self.tasks.get(id)?;
        let _turn = task.turn.lock().await;
        task.state().check_start()?;
        self.engine.start(&task.key).await?;
        task.set_running();
        let mut event = TaskStart::new();
        event.set_container_id(task.key.id.clone());
        event.set_pid(task.pid);
        self.publisher.publish(event).await;
        Ok(task.pid)
    }

    /// Sends a signal to a container's init, or to all its processes.
    pub fn kill(&self, request: &KillRequest) -> Result<()> {
        let task = self.tasks.get(&request.id)?;
        task.state().check_kill()?;
        let signal = request.signal.cast_signed();
        if request.all {
            return kill_all(&task, signal);
        }
        task.pidfd.send_signal(signal).map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => TaskError::not_found("process already finished"),
            Some(libc::EINVAL) => TaskError::invalid(format!("there is no signal {signal}")),
            _ => TaskError::other(format!("cannot send signal {signal} to process {}: {error}", task.pid)),
        })
    }

    /// Deletes a container that does not run; its process id and how it ended.
    pub async fn delete(&self, id: &str) -> Result<(u32, ExitStatus)> {
        let task = self.tasks.get(id)?;
        task.state().check_delete()?;
        if task.state() == State::Created {
            // Its end is published before its deletion, so it has to be seen first. It may have died by itself.
            let _ = task.pidfd.send_signal(Signal::SIGKILL as i32);
        }
        let status = task.wait().await;
        let _turn = task.turn.lock().await;
        self.tasks.get(id)?;
        self.engine.delete(&task.key).await?;
        task.io.shutdown().await;
        self.tasks.remove(id);
        let mut event = TaskDelete::new();
        event.set_container_id(task.key.id.clone());
        event.set_pid(task.pid);
        event.set_exit_status(status.code);
        event.set_exited_at(timestamp(status));
        self.publisher.publish(event).await;
        Ok((task.pid, status))
    }
}

fn kill_all(task: &Task, signal: i32) -> Result<()> {
    let signal = Signal::try_from(signal).map_err(|_| TaskError::invalid(format!("there is no signal {signal}")))?;
    for pid in task.cgroups.processes() {
        match nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => warn!("cannot send {signal} to process {pid} of {}: {errno}", task.key),
        }
    }
    Ok(())
}

fn rootfs_mount(mount: &Mount) -> RootfsMount {
    RootfsMount {
        fstype: mount.type_.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

fn create_event(request: CreateTaskRequest, pid: u32) -> TaskCreate {
    let io = TaskIO {
        stdin: request.stdin,
        stdout: request.stdout,
        stderr: request.stderr,
        terminal: request.terminal,
        ..TaskIO::default()
    };
    TaskCreate {
        container_id: request.id,
        bundle: request.bundle,
        rootfs: request.rootfs,
        io: MessageField::some(io),
        checkpoint: request.checkpoint,
        pid,
        ..TaskCreate::default()
    }
}
