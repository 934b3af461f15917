//! The verbs: create, start, kill, delete.

use std::{os::fd::OwnedFd, sync::Arc};

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
use nix::sys::signal::Signal;
use wasmedge_shim_protocol::{ContainerKey, Create, ExitStatus, FurtherOptions, Pod, RootfsMount};

use super::{
    container::Task,
    exits::{ended, watch_memory},
    process::{Live, Process, UNKNOWN},
    shared::Shared,
    state::State,
};
use crate::{
    cgroup::{Cgroups, signal_all, thaw},
    engine::Handles,
    error::{Result, TaskError},
    events::timestamp,
    logging,
    options::Options,
    stdio,
};

impl Shared {
    /// Creates a container, as a part of a trace or not; its init's process id.
    pub(super) async fn create(&self, request: CreateTaskRequest, traced: bool) -> Result<u32> {
        if !request.checkpoint.is_empty() {
            return Err(TaskError::unimplemented("a Wasm container cannot be restored from a checkpoint"));
        }
        let reservation = self.tasks.reserve(&request.id)?;
        let losses = self.tasks.host_losses();
        let shared = self.join(&request.id)?;
        let (task, master) = self.make(&request, shared, traced).await?;
        let init = &task.init;
        // Nothing about this container is published before its creation.
        let turn = init.turn.lock().await;
        // From here on its end is seen, however long the rest takes.
        let end = reservation.fill(task.clone());
        self.watch(&task, init, losses);
        if let Some(status) = end {
            logging::spawn_about(&task.key.id, ended(task.clone(), init.clone(), status, self.publisher.clone()));
        }
        if let (Some(master), Some(live)) = (master, init.live())
            && let Err(error) = live.streams.attach(master, &init.stdio, &task.key).await
        {
            live.streams.abort().await;
            // It never was, so its end is not told.
            init.set_stopped(ExitStatus::now(UNKNOWN));
            self.delete_from_host(&task.key).await?;
            return Err(error);
        }
        let pid = init.pid();
        self.publisher.publish(create_event(request, pid)).await;
        drop(turn);
        reservation.keep();
        logging::spawn_about(&task.key.id.clone(), watch_memory(task, self.publisher.clone()));
        Ok(pid)
    }

    /// Lets the host make it; it, and the master of its terminal if it has one.
    async fn make(
        &self,
        request: &CreateTaskRequest,
        shared: Option<Pod>,
        traced: bool,
    ) -> Result<(Arc<Task>, Option<OwnedFd>)> {
        let options = Options::of(request.options.as_ref());
        let mut options = options.map_err(|error| TaskError::invalid(error.to_string()))?;
        options.sandbox.systemd_cgroup |= self.sandbox.get().is_some_and(|sandbox| sandbox.by_systemd());
        if let Some(level) = options.log_level {
            log::set_max_level(level);
        }
        let key = ContainerKey { namespace: self.namespace.clone(), id: request.id.clone() };
        let stdio = Stdio::new(&request.stdin, &request.stdout, &request.stderr, request.terminal);
        let prepared = stdio::prepare(&stdio, &key).await?;
        let create = Create {
            key: key.clone(),
            bundle: request.bundle.clone().into(),
            rootfs: request.rootfs.iter().map(rootfs_mount).collect(),
            stdio: prepared.presence,
            terminal: request.terminal,
            options: options.sandbox,
            containerd: self.containerd.clone(),
            further: FurtherOptions { pod: self.pod.get().cloned(), traced, shared, ..options.further },
        };
        let streams = prepared.streams;
        let (created, handles) = match self.engine.create(create, prepared.process_ends).await {
            Ok(created) => created,
            Err(error) => {
                streams.abort().await;
                if self.sandbox.get().is_some() {
                    // Nothing is left of it, unless that failed too: its note goes when that is certain.
                    self.delete_from_host(&key).await.unwrap_or_else(|error| warn!("{error}"));
                }
                return Err(error);
            }
        };
        let Handles { pidfd, master } = handles;
        let init = Process::new("", stdio);
        init.set_live(Live { pid: created.pid, pidfd, streams });
        let task = Task::new(key, request.bundle.clone(), Arc::new(init), Cgroups::new(created.cgroups));
        Ok((Arc::new(task), master))
    }

    /// Starts a created container, or a program in one; its process id.
    pub(super) async fn start(&self, id: &str, exec_id: &str) -> Result<u32> {
        let task = self.tasks.get(id)?;
        let process = task.process(exec_id)?;
        if !exec_id.is_empty() {
            return self.start_program(&task, &process).await;
        }
        let _turn = process.turn.lock().await;
        process.state().check_start()?;
        self.engine.start(&task.key).await?;
        process.advance(State::Created, State::Running);
        let mut event = TaskStart::new();
        event.set_container_id(task.key.id.clone());
        event.set_pid(process.pid());
        self.publisher.publish(event).await;
        Ok(process.pid())
    }

    /// Sends a signal to a process, or to all of the container.
    pub fn kill(&self, request: &KillRequest) -> Result<()> {
        let task = self.tasks.get(&request.id)?;
        let process = task.process(&request.exec_id)?;
        process.state().check_kill()?;
        let signal = request.signal.cast_signed();
        let init_dies = signal == libc::SIGKILL && (request.all || request.exec_id.is_empty());
        if init_dies {
            task.doom();
        }
        if request.all {
            let named = Signal::try_from(signal);
            signal_all(&task.cgroups, named.map_err(|_| TaskError::invalid(format!("there is no signal {signal}")))?);
        } else {
            process.signal(signal)?;
        }
        // A frozen process of cgroup v1 dies only when it is thawed; it does not come to run again. Another program of a
        // paused container waits until that is resumed, as the rest of the container would run again, too.
        if init_dies && task.init.state() == State::Paused && !task.cgroups.is_v2() {
            thaw(&task.cgroups).map_err(|error| TaskError::other(format!("cannot thaw {}: {error}", request.id)))?;
        }
        Ok(())
    }

    /// Deletes a container that does not run, or a program of one; its process id and how it ended. One that is being
    /// created is waited for: when containerd gives up on a creation it deletes at once, and what the creation brings forth
    /// must go.
    pub async fn delete(&self, id: &str, exec_id: &str) -> Result<(u32, ExitStatus)> {
        if !exec_id.is_empty() {
            let task = self.tasks.get(id)?;
            return self.delete_program(&task, &*task.process(exec_id)?).await;
        }
        let _deletion = self.tasks.deletion(id).await?;
        self.tasks.created(id).await;
        let task = self.tasks.get(id)?;
        let process = &task.init;
        process.state().check_delete()?;
        if process.state() == State::Created {
            // Its end is published before its deletion, so it has to be seen first. It may have died by itself.
            let _ = process.signal(Signal::SIGKILL as i32);
        }
        let status = process.wait().await;
        let _turn = process.turn.lock().await;
        self.delete_from_host(&task.key).await?;
        for process in task.all_programs().iter().chain([process]) {
            if let Some(live) = process.live() {
                live.streams.shutdown().await;
            }
        }
        self.tasks.remove(id);
        let mut event = TaskDelete::new();
        event.set_container_id(task.key.id.clone());
        event.set_pid(process.pid());
        event.set_exit_status(status.code);
        event.set_exited_at(timestamp(status));
        self.publisher.publish(event).await;
        Ok((process.pid(), status))
    }

    /// Whether the shim has nothing to do any more, and will take nothing on. What is under way for container `id` comes
    /// first: containerd does not wait for it any more, and does not ask twice.
    pub async fn shut_down(&self, id: &str) -> bool {
        // There may be nothing to wait for.
        drop(self.tasks.deletion(id).await);
        self.tasks.created(id).await;
        self.tasks.close_if_empty()
    }
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
