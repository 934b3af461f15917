//! The verbs for another program in a container (`exec`): described first, started later, deleted by itself.

use std::{io::Write, os::fd::OwnedFd, sync::Arc};

use containerd_shim::{
    api::ExecProcessRequest,
    asynchronous::io::Stdio,
    protos::events::task::{TaskExecAdded, TaskExecStarted},
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use wasmedge_shim_protocol::{Exec, ExitStatus};

use super::{
    exits::ended,
    process::{Live, Process},
    state::State,
    tasks::{Shared, Task},
};
use crate::{
    error::{Result, TaskError},
    stdio,
};

impl Shared {
    /// Takes the description of a program that is to be run.
    pub async fn exec(&self, request: ExecProcessRequest) -> Result<()> {
        let task = self.tasks.get(&request.id)?;
        task.init.state().check_exec()?;
        if request.exec_id.is_empty() {
            return Err(TaskError::invalid("the program to be run needs an id"));
        }
        let stdio = Stdio::new(&request.stdin, &request.stdout, &request.stderr, request.terminal);
        let program = Process::new(&request.exec_id, stdio);
        program.describe(request.spec.value.clone());
        task.add_program(program)?;
        let mut event = TaskExecAdded::new();
        event.set_container_id(request.id);
        event.set_exec_id(request.exec_id);
        self.publisher.publish(event).await;
        Ok(())
    }

    /// Runs it; its process id.
    pub async fn start_program(&self, task: &Arc<Task>, program: &Arc<Process>) -> Result<u32> {
        let turn = program.turn.lock().await;
        task.init.state().check_exec()?;
        program.state().check_start()?;
        let live = match self.run_program(task, program).await {
            Ok(live) => live,
            Err(error) => {
                // As runc's shim: it counts as one that has ended.
                program.set_stopped(ExitStatus::now(super::process::UNKNOWN));
                return Err(error);
            }
        };
        let pid = live.pid;
        let ended_by_now = task.set_live(program, live);
        program.advance(State::Created, State::Running);
        let mut event = TaskExecStarted::new();
        event.set_container_id(task.key.id.clone());
        event.set_exec_id(program.exec_id.clone());
        event.set_pid(pid);
        self.publisher.publish(event).await;
        drop(turn);
        if let Some(status) = ended_by_now {
            ended(task.clone(), program.clone(), status, self.publisher.clone()).await;
        }
        Ok(pid)
    }

    async fn run_program(&self, task: &Task, program: &Process) -> Result<Live> {
        let mut key = task.key.clone();
        let description = in_memory(program.description())
            .map_err(|error| TaskError::other(format!("cannot pass the program on: {error}")))?;
        // A logger knows it by its own id.
        key.id.clone_from(&program.exec_id);
        let prepared = stdio::prepare(&program.stdio, &key).await?;
        let exec = Exec { key: task.key.clone(), stdio: prepared.presence, terminal: program.stdio.terminal };
        let fds = std::iter::once(description).chain(prepared.process_ends).collect();
        let mut streams = prepared.streams;
        let result = match self.engine.exec(exec, fds).await {
            Ok((pid, pidfd, None)) => return Ok(Live { pid, pidfd, streams }),
            Ok((pid, pidfd, Some(master))) => match streams.attach(master, &program.stdio, &key).await {
                Ok(()) => return Ok(Live { pid, pidfd, streams }),
                Err(error) => {
                    let _ = pidfd.send_signal(libc::SIGKILL);
                    Err(error)
                }
            },
            Err(error) => Err(error),
        };
        streams.abort().await;
        result
    }

    /// Deletes a program that does not run; its process id and how it ended.
    pub async fn delete_program(&self, task: &Task, program: &Process) -> Result<(u32, ExitStatus)> {
        program.state().check_delete()?;
        let status = program.state().exit().unwrap_or_else(|| ExitStatus::now(0));
        if let Some(live) = program.live() {
            live.streams.shutdown().await;
        }
        task.remove_program(&program.exec_id);
        Ok((program.pid(), status))
    }
}

/// A file without a name that has these bytes.
fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let file = memfd_create(c"process", MFdFlags::MFD_CLOEXEC)?;
    std::fs::File::from(file.try_clone()?).write_all(bytes)?;
    Ok(file)
}
