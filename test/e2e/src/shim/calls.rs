//! The calls of the task API, on a task and on its execs.

use std::path::Path;

use containerd_shim_protos::{
    api::{
        CheckpointTaskRequest, CloseIORequest, CreateTaskRequest, CreateTaskResponse, DeleteRequest,
        ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, ResizePtyRequest, ResumeRequest, StartRequest,
        StateRequest, UpdateTaskRequest, WaitRequest,
    },
    protobuf::well_known_types::any::Any,
};
use serde_json::Value;

use super::{Failure, Shim, context, failure};

/// The standard streams of a process: paths of FIFOs or URIs, empty for none.
#[derive(Clone, Debug, Default)]
pub struct Streams {
    /// Standard input.
    pub stdin: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether the first two are those of a terminal.
    pub terminal: bool,
}

impl Shim {
    /// `Create` without standard streams.
    pub fn create(&self) -> Result<CreateTaskResponse, Failure> {
        self.create_with(None)
    }

    /// `Create` with runtime options.
    pub fn create_with(&self, options: Option<Any>) -> Result<CreateTaskResponse, Failure> {
        self.create_request(&Streams::default(), options)
    }

    /// `Create` with standard streams.
    pub fn create_on(&self, streams: &Streams) -> Result<CreateTaskResponse, Failure> {
        self.create_request(streams, None)
    }

    fn create_request(&self, streams: &Streams, options: Option<Any>) -> Result<CreateTaskResponse, Failure> {
        let bundle = self.bundle().directory.display().to_string();
        let Streams { stdin, stdout, stderr, terminal } = streams.clone();
        let mut request =
            CreateTaskRequest { id: self.id().into(), bundle, stdin, stdout, stderr, terminal, ..Default::default() };
        request.options = options.into();
        self.client.create(context(), &request).map_err(failure)
    }

    /// `Start`: the pid.
    pub fn start(&self) -> Result<u32, Failure> {
        self.start_exec("")
    }

    /// `Create` and `Start` as parts of a trace: the value of `traceparent`.
    pub fn run_in_trace(&self, parent: &str) -> Result<(), Failure> {
        let traced = || {
            let mut context = context();
            context.add("traceparent".into(), parent.into());
            context
        };
        let bundle = self.bundle().directory.display().to_string();
        let create = CreateTaskRequest { id: self.id().into(), bundle, ..Default::default() };
        self.client.create(traced(), &create).map_err(failure)?;
        let start = StartRequest { id: self.id().into(), ..Default::default() };
        self.client.start(traced(), &start).map(drop).map_err(failure)
    }

    /// `State`: pid, status as a number of `containerd.types.Status`, exit code.
    pub fn state(&self) -> Result<(u32, i32, u32), Failure> {
        self.state_of_exec("")
    }

    /// `Kill` with a signal's number.
    pub fn kill(&self, signal: u32) -> Result<(), Failure> {
        self.kill_exec("", signal)
    }

    /// `Wait`: the exit code.
    pub fn wait(&self) -> Result<u32, Failure> {
        self.wait_for_exec("")
    }

    /// `Delete`: pid and exit code.
    pub fn delete(&self) -> Result<(u32, u32), Failure> {
        self.delete_exec("")
    }

    /// `Exec`: one more process, an OCI `process`, to be started as `exec`.
    pub fn exec(&self, exec: &str, process: &Value, streams: &Streams) -> Result<(), Failure> {
        let Streams { stdin, stdout, stderr, terminal } = streams.clone();
        let (id, exec_id) = (self.id().into(), exec.into());
        let mut request = ExecProcessRequest { id, exec_id, stdin, stdout, stderr, terminal, ..Default::default() };
        request.spec = Some(json_any("Process", process)).into();
        self.client.exec(context(), &request).map(drop).map_err(failure)
    }

    /// As [`Shim::start`], of an exec.
    pub fn start_exec(&self, exec: &str) -> Result<u32, Failure> {
        let request = StartRequest { id: self.id().into(), exec_id: exec.into(), ..Default::default() };
        self.client.start(context(), &request).map(|response| response.pid).map_err(failure)
    }

    /// As [`Shim::state`], of an exec.
    pub fn state_of_exec(&self, exec: &str) -> Result<(u32, i32, u32), Failure> {
        let request = StateRequest { id: self.id().into(), exec_id: exec.into(), ..Default::default() };
        let state = self.client.state(context(), &request).map_err(failure)?;
        Ok((state.pid, state.status.value(), state.exit_status))
    }

    /// As [`Shim::kill`], of an exec.
    pub fn kill_exec(&self, exec: &str, signal: u32) -> Result<(), Failure> {
        let request = KillRequest { id: self.id().into(), exec_id: exec.into(), signal, ..Default::default() };
        self.client.kill(context(), &request).map(drop).map_err(failure)
    }

    /// As [`Shim::wait`], of an exec.
    pub fn wait_for_exec(&self, exec: &str) -> Result<u32, Failure> {
        let request = WaitRequest { id: self.id().into(), exec_id: exec.into(), ..Default::default() };
        self.client.wait(context(), &request).map(|response| response.exit_status).map_err(failure)
    }

    /// As [`Shim::delete`], of an exec.
    pub fn delete_exec(&self, exec: &str) -> Result<(u32, u32), Failure> {
        let request = DeleteRequest { id: self.id().into(), exec_id: exec.into(), ..Default::default() };
        self.client.delete(context(), &request).map(|response| (response.pid, response.exit_status)).map_err(failure)
    }

    /// `ResizePty` of the task (`exec` is empty) or an exec.
    pub fn resize(&self, exec: &str, rows: u32, columns: u32) -> Result<(), Failure> {
        let (id, exec_id) = (self.id().into(), exec.into());
        let request = ResizePtyRequest { id, exec_id, width: columns, height: rows, ..Default::default() };
        self.client.resize_pty(context(), &request).map(drop).map_err(failure)
    }

    /// `CloseIO` of the standard input of the task (`exec` is empty) or an exec.
    pub fn close_stdin(&self, exec: &str) -> Result<(), Failure> {
        let request = CloseIORequest { id: self.id().into(), exec_id: exec.into(), stdin: true, ..Default::default() };
        self.client.close_io(context(), &request).map(drop).map_err(failure)
    }

    /// `Pause`.
    pub fn pause(&self) -> Result<(), Failure> {
        let request = PauseRequest { id: self.id().into(), ..Default::default() };
        self.client.pause(context(), &request).map(drop).map_err(failure)
    }

    /// `Resume`.
    pub fn resume(&self) -> Result<(), Failure> {
        let request = ResumeRequest { id: self.id().into(), ..Default::default() };
        self.client.resume(context(), &request).map(drop).map_err(failure)
    }

    /// `Update` to these `linux.resources` of OCI.
    pub fn update(&self, resources: &Value) -> Result<(), Failure> {
        let mut request = UpdateTaskRequest { id: self.id().into(), ..Default::default() };
        request.resources = Some(json_any("LinuxResources", resources)).into();
        self.client.update(context(), &request).map(drop).map_err(failure)
    }

    /// `Pids`.
    pub fn pids(&self) -> Result<Vec<u32>, Failure> {
        let request = PidsRequest { id: self.id().into(), ..Default::default() };
        let response = self.client.pids(context(), &request).map_err(failure)?;
        Ok(response.processes.iter().map(|process| process.pid).collect())
    }

    /// `Checkpoint` to a directory.
    pub fn checkpoint(&self, path: &Path) -> Result<(), Failure> {
        let path = path.display().to_string();
        let request = CheckpointTaskRequest { id: self.id().into(), path, ..Default::default() };
        self.client.checkpoint(context(), &request).map(drop).map_err(failure)
    }
}

/// As containerd packs OCI's types.
fn json_any(name: &str, value: &Value) -> Any {
    let type_url = format!("types.containerd.io/opencontainers/runtime-spec/1/{name}");
    Any { type_url, value: value.to_string().into_bytes(), ..Default::default() }
}
