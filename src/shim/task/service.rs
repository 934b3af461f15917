//! containerd's task API: only conversion between its messages and the verbs.

use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim::{
    ExitSignal, TtrpcContext, TtrpcResult,
    api::{
        CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
        DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
        ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse,
        StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
    },
    protos::types::task::ProcessInfo,
};
use log::{debug, info};
use tokio::sync::RwLock;

use super::tasks::{Shared, Task, Tasks, follow};
use crate::{
    engine::{EngineClient, Launcher},
    error::{Result, TaskError},
    events::{Publisher, timestamp},
    stats,
    trim::Activity,
};

/// The service of one shim.
pub struct TaskService {
    namespace: String,
    shared: Shared,
    exit: Arc<ExitSignal>,
    activity: Activity,
}

impl TaskService {
    /// Serves the containers of `namespace`, with the engine that `launcher` starts; `exit` is signalled when the last one is gone and containerd says so.
    pub fn new(
        namespace: &str,
        launcher: Launcher,
        publisher: Arc<Publisher>,
        exit: Arc<ExitSignal>,
        activity: Activity,
    ) -> Self {
        let (engine, notices) = EngineClient::new(launcher);
        let tasks = Arc::new(Tasks::default());
        tokio::spawn(follow(tasks.clone(), publisher.clone(), notices));
        let shared = Shared { tasks, engine, publisher, creating: RwLock::default() };
        Self { namespace: namespace.to_owned(), shared, exit, activity }
    }

    /// The containers.
    pub fn tasks(&self) -> Arc<Tasks> {
        self.shared.tasks.clone()
    }

    /// The container that a request is about. Only its init can be meant as long as there is no exec.
    fn init(&self, id: &str, exec_id: &str) -> Result<Arc<Task>> {
        if exec_id.is_empty() {
            self.shared.tasks.get(id)
        } else {
            Err(TaskError::not_found(format!("process {exec_id} of container {id} not found")))
        }
    }
}

#[async_trait]
impl containerd_shim::Task for TaskService {
    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> TtrpcResult<CreateTaskResponse> {
        debug!("create {}", request.id);
        self.activity.note();
        let pid = self.shared.create(&self.namespace, request).await?;
        Ok(CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> TtrpcResult<StartResponse> {
        debug!("start {}", request.id);
        self.activity.note();
        self.init(&request.id, &request.exec_id)?;
        let pid = self.shared.start(&request.id).await?;
        Ok(StartResponse { pid, ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> TtrpcResult<Empty> {
        debug!("kill {} with {}", request.id, request.signal);
        self.init(&request.id, &request.exec_id)?;
        self.shared.kill(&request)?;
        Ok(Empty::new())
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> TtrpcResult<DeleteResponse> {
        debug!("delete {}", request.id);
        drop(self.shared.creating.write().await);
        self.init(&request.id, &request.exec_id)?;
        let (pid, status) = self.shared.delete(&request.id).await?;
        let mut response = DeleteResponse::new();
        response.set_pid(pid);
        response.set_exit_status(status.code);
        response.set_exited_at(timestamp(status));
        Ok(response)
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> TtrpcResult<StateResponse> {
        let task = self.init(&request.id, &request.exec_id)?;
        let state = task.state();
        let mut response = StateResponse::new();
        response.set_id(task.key.id.clone());
        response.set_bundle(task.bundle.clone());
        response.set_pid(task.pid);
        response.set_status(state.status());
        response.set_stdin(task.stdio.stdin.clone());
        response.set_stdout(task.stdio.stdout.clone());
        response.set_stderr(task.stdio.stderr.clone());
        response.set_terminal(task.stdio.terminal);
        if let Some(status) = state.exit() {
            response.set_exit_status(status.code);
            response.set_exited_at(timestamp(status));
        }
        Ok(response)
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> TtrpcResult<WaitResponse> {
        let task = self.init(&request.id, &request.exec_id)?;
        let status = task.wait().await;
        let mut response = WaitResponse::new();
        response.set_exit_status(status.code);
        response.set_exited_at(timestamp(status));
        Ok(response)
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> TtrpcResult<PidsResponse> {
        let task = self.shared.tasks.get(&request.id)?;
        let processes = task.cgroups.processes().into_iter().map(|pid| ProcessInfo { pid, ..Default::default() });
        Ok(PidsResponse { processes: processes.collect(), ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> TtrpcResult<StatsResponse> {
        let task = self.shared.tasks.get(&request.id)?;
        let mut response = StatsResponse::new();
        response.set_stats(stats::collect(&task.cgroups)?);
        Ok(response)
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> TtrpcResult<ConnectResponse> {
        let task_pid = self.shared.tasks.get(&request.id).map_or(0, |task| task.pid);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..Default::default() })
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> TtrpcResult<Empty> {
        let task = self.init(&request.id, &request.exec_id)?;
        if request.stdin {
            task.io.close_input();
        }
        Ok(Empty::new())
    }

    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> TtrpcResult<Empty> {
        let _none_creating = self.shared.creating.write().await;
        if self.shared.tasks.is_empty() || request.now {
            info!("shutdown");
            self.exit.signal();
        }
        Ok(Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("exec is not supported by this version").into())
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("pause is not supported by this version").into())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("resume is not supported by this version").into())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("update is not supported by this version").into())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> TtrpcResult<Empty> {
        self.init(&request.id, &request.exec_id)?;
        Err(TaskError::failed_precondition(format!("container {} has no terminal", request.id)).into())
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("checkpoints are not supported").into())
    }
}
