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
use nix::sys::signal::Signal;
use wasmedge_shim_protocol::{ContainerKey, Create, ExitStatus, RootfsMount};

use super::{
    exits::{kill_members, watch_memory},
    process::{Live, Process},
    state::State,
    tasks::{Shared, Task},
};
use crate::{
    cgroup::{Cgroups, thaw},
    error::{Result, TaskError},
    events::timestamp,
    options::Options,
    stdio,
};

impl Shared {
    /// Creates a container; its init's process id.
    pub async fn create(&self, namespace: &str, request: CreateTaskRequest) -> Result<u32> {
        if !request.checkpoint.is_empty() {
            return Err(TaskError::unimplemented("a Wasm container cannot be restored from a checkpoint"));
        }
        let _creating = self.creating.read().await;
        self.tasks.reserve(&request.id)?;
        let created = self.create_reserved(namespace, &request).await;
        match created {
            Ok(task) => {
                let pid = task.init.pid();
                // Nothing about this container is published before its creation.
                let turn = task.init.turn.lock().await;
                self.tasks.insert(task.clone());
                self.publisher.publish(create_event(request, pid)).await;
                drop(turn);
                tokio::spawn(watch_memory(task, self.publisher.clone()));
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
        };
        let mut streams = prepared.streams;
        let (created, pidfd, master) = match self.engine.create(create, prepared.process_ends).await {
            Ok(created) => created,
            Err(error) => {
                streams.abort().await;
                return Err(error);
            }
        };
        if let Some(master) = master
            && let Err(error) = streams.attach(master, &stdio, &key).await
        {
            streams.abort().await;
            let _ = pidfd.send_signal(Signal::SIGKILL as i32);
            self.engine.delete(&key).await?;
            return Err(error);
        }
        let init = Process::new("", stdio);
        init.set_live(Live { pid: created.pid, pidfd, streams });
        Ok(Arc::new(Task::new(key, request.bundle.clone(), Arc::new(init), Cgroups::new(created.cgroups))))
    }

    /// Starts a created container, or a program in one; its process id.
    pub async fn start(&self, id: &str, exec_id: &str) -> Result<u32> {
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
        if signal == libc::SIGKILL && (request.all || request.exec_id.is_empty()) {
            task.doom();
        }
        if request.all {
            let named = Signal::try_from(signal);
            kill_members(&task, named.map_err(|_| TaskError::invalid(format!("there is no signal {signal}")))?);
        } else {
            process.signal(signal)?;
        }
        // A frozen process of cgroup v1 dies only when it is thawed; it does not come to run again.
        if signal == libc::SIGKILL && task.init.state() == State::Paused && !task.cgroups.is_v2() {
            thaw(&task.cgroups).map_err(|error| TaskError::other(format!("cannot thaw {}: {error}", request.id)))?;
        }
        Ok(())
    }

    /// Deletes a container that does not run, or a program of one; its process id and how it ended.
    pub async fn delete(&self, id: &str, exec_id: &str) -> Result<(u32, ExitStatus)> {
        let task = self.tasks.get(id)?;
        let process = task.process(exec_id)?;
        if !exec_id.is_empty() {
            return self.delete_program(&task, &process).await;
        }
        process.state().check_delete()?;
        if process.state() == State::Created {
            // Its end is published before its deletion, so it has to be seen first. It may have died by itself.
            let _ = process.signal(Signal::SIGKILL as i32);
        }
        let status = process.wait().await;
        let _turn = process.turn.lock().await;
        self.tasks.get(id)?;
        self.engine.delete(&task.key).await?;
        for process in task.all_programs().iter().chain([&process]) {
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
