//! The verbs for another program in a container (`exec`): described first, started later, deleted by itself.

use std::{io::Write, os::fd::OwnedFd, sync::Arc};

use containerd_shim::{
    api::ExecProcessRequest,
    asynchronous::io::Stdio,
    protos::events::task::{TaskExecAdded, TaskExecStarted},
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use wasmedge_shim_protocol::{ContainerKey, Exec, ExitStatus, Pidfd};

use super::{
    container::Task,
    exits::ended,
    process::{Live, Process, UNKNOWN},
    shared::Shared,
    state::State,
};
use crate::{
    engine::{Handles, no_room},
    error::{Result, TaskError},
    logging, stdio,
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
        if let Err(error) = self.run_program(task, program).await {
            // As runc's shim: it counts as one that has ended.
            program.set_stopped(ExitStatus::now(UNKNOWN));
            return Err(error);
        }
        let pid = program.pid();
        program.advance(State::Created, State::Running);
        let mut event = TaskExecStarted::new();
        event.set_container_id(task.key.id.clone());
        event.set_exec_id(program.exec_id.clone());
        event.set_pid(pid);
        self.publisher.publish(event).await;
        drop(turn);
        Ok(pid)
    }

    async fn run_program(&self, task: &Arc<Task>, program: &Arc<Process>) -> Result<()> {
        let mut key = task.key.clone();
        let description = in_memory(program.description())
            .map_err(|error| TaskError::other(format!("cannot pass the program on: {error}")))?;
        // A logger knows it by its own id.
        key.id.clone_from(&program.exec_id);
        let prepared = stdio::prepare(&program.stdio, &key).await?;
        let exec = Exec { key: task.key.clone(), stdio: prepared.presence, terminal: program.stdio.terminal };
        let fds = std::iter::once(description).chain(prepared.process_ends).collect();
        let (streams, losses, _starting) = (prepared.streams, self.tasks.host_losses(), task.starting());
        let cause = match self.engine.exec(exec, fds).await {
            Ok((pid, Some(Handles { pidfd, master }))) => {
                // From here on its end is seen, however long the rest takes.
                let end = task.set_live(program, Live { pid, pidfd, streams });
                self.watch(task, program, losses);
                if let Some(status) = end {
                    logging::spawn_about(
                        &task.key.id,
                        ended(task.clone(), program.clone(), status, self.publisher.clone()),
                    );
                }
                return attach(program, master, &key).await;
            }
            Ok((pid, None)) => {
                // Their descriptors make room.
                streams.abort().await;
                end_stray(task, pid)
            }
            Err(error) => error,
        };
        streams.abort().await;
        Err(cause)
    }

    /// Deletes a program that does not run; its process id and how it ended. One that is being started is waited for.
    pub async fn delete_program(&self, task: &Task, program: &Process) -> Result<(u32, ExitStatus)> {
        let _turn = program.turn.lock().await;
        program.state().check_delete()?;
        let status = program.state().exit().unwrap_or_else(|| ExitStatus::now(0));
        if let Some(live) = program.live() {
            live.streams.shutdown().await;
        }
        task.remove_program(&program.exec_id);
        Ok((program.pid(), status))
    }
}

/// Copies to and from the program's terminal, if it has one. If that fails the program is ended.
async fn attach(program: &Process, master: Option<OwnedFd>, key: &ContainerKey) -> Result<()> {
    let (Some(master), Some(live)) = (master, program.live()) else { return Ok(()) };
    let attached = live.streams.attach(master, &program.stdio, key).await;
    if attached.is_err() {
        // It may have ended by now.
        let _ = live.pidfd.send_signal(libc::SIGKILL);
        live.streams.abort().await;
    }
    attached
}

/// Ends a program of which there is only an id, if it is still that of a process in the container; the failure.
fn end_stray(task: &Task, pid: u32) -> TaskError {
    let ended = Pidfd::open(pid.cast_signed()).and_then(|pidfd| match task.cgroups.processes().contains(&pid) {
        true => pidfd.send_signal(libc::SIGKILL),
        false => Ok(()),
    });
    let also = match ended {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => format!(" (and process {pid} runs on: {error})"),
        _ => String::new(),
    };
    TaskError::other(no_room(&task.key) + &also)
}

/// A file without a name that has these bytes.
fn in_memory(bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let file = memfd_create(c"process", MFdFlags::MFD_CLOEXEC)?;
    std::fs::File::from(file.try_clone()?).write_all(bytes)?;
    Ok(file)
}
