//! containerd's task API: only conversion between its messages and the verbs.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use containerd_shim::{
    ExitSignal, TtrpcContext, TtrpcResult,
    api::{
        CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
        DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
        ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse,
        StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest, WaitResponse,
    },
    protos::{shim::oci::ProcessDetails, types::task::ProcessInfo},
    util::convert_to_any,
};
use log::{debug, info, warn};
use tokio::sync::{mpsc, oneshot};
use wasmedge_shim_protocol::PodName;

use super::{exits::follow, process::Process, shared::Shared, tasks::Tasks};
use crate::{
    cgroup::collect_stats,
    engine::{EngineClient, Notice},
    error::{Result, TaskError},
    events::{Publisher, timestamp},
    logging,
    starting::Known,
    tracing::Tracing,
    trim::Activity,
};

/// Whose containers a shim serves.
pub struct Names {
    /// containerd's namespace.
    pub namespace: String,
    /// The socket of containerd's API.
    pub containerd: PathBuf,
    /// What Kubernetes calls the pod, once that is known.
    pub pod: Arc<OnceLock<PodName>>,
}

/// The service of one shim.
pub struct TaskService {
    shared: Arc<Shared>,
    exit: Arc<ExitSignal>,
    activity: Activity,
    known: Known,
}

/// Ends the daemon when it is dropped: when the answer is there to be sent, or when nobody waits for it any more.
pub struct Leave(pub Arc<ExitSignal>);

impl Drop for Leave {
    fn drop(&mut self) {
        info!("shutdown");
        self.0.signal();
    }
}

impl TaskService {
    /// Serves containers of `names`, with the engine host behind `engine`, a client and its news; `exit` is signalled when
    /// the last one is gone and containerd says so.
    pub fn new(
        names: Names,
        engine: (EngineClient, mpsc::UnboundedReceiver<Notice>),
        publisher: Arc<Publisher>,
        exit: Arc<ExitSignal>,
        activity: Activity,
        known: Known,
    ) -> Self {
        let (engine, notices) = engine;
        let tasks = Arc::new(Tasks::default());
        tokio::spawn(follow(tasks.clone(), publisher.clone(), notices));
        let Names { namespace, containerd, pod } = names;
        let tracing = Tracing::by(&|name| std::env::var(name).ok());
        let sandbox = OnceLock::new();
        let shared = Arc::new(Shared { namespace, tasks, engine, containerd, pod, tracing, publisher, sandbox });
        Self { shared, exit, activity, known }
    }

    /// What it works with.
    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Does a verb to its end, whatever becomes of its caller: ttrpc drops what it awaits at the caller's deadline and at
    /// the end of the connection, and what a verb has begun must be told by `State` and found by `Delete`. The caller
    /// does not wait for a host that does not work; the verb does.
    async fn finish<T: Send + 'static>(
        &self,
        id: &str,
        verb: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        logging::spawn_about(id, async move {
            if let Err(Err(unheard)) = tell.send(verb.await) {
                warn!("{unheard}");
            }
        });
        tokio::select! {
            done = told => done.unwrap_or_else(|_| Err(TaskError::other("the shim is ending"))),
            error = self.shared.engine.silence() => Err(error),
        }
    }

    /// The process that a request is about.
    fn process(&self, id: &str, exec_id: &str) -> Result<Arc<Process>> {
        self.shared.tasks.get(id)?.process(exec_id)
    }
}

#[async_trait]
impl containerd_shim::Task for TaskService {
    async fn create(&self, context: &TtrpcContext, request: CreateTaskRequest) -> TtrpcResult<CreateTaskResponse> {
        debug!(container = request.id; "create");
        self.activity.note();
        self.known.note();
        let (shared, id) = (self.shared.clone(), request.id.clone());
        let traced = self.shared.begin_span(context);
        let pid = self.finish(&id, async move { shared.create_traced(request, traced).await }).await?;
        Ok(CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, context: &TtrpcContext, request: StartRequest) -> TtrpcResult<StartResponse> {
        debug!(container = request.id; "start {}", request.exec_id);
        self.activity.note();
        let (shared, id) = (self.shared.clone(), request.id.clone());
        let traced = self.shared.begin_span(context);
        let pid =
            self.finish(&id, async move { shared.start_traced(&request.id, &request.exec_id, traced).await }).await?;
        Ok(StartResponse { pid, ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> TtrpcResult<Empty> {
        debug!(container = request.id; "kill {} with {}", request.exec_id, request.signal);
        logging::about(&request.id, async { self.shared.kill(&request) }).await?;
        Ok(Empty::new())
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> TtrpcResult<DeleteResponse> {
        debug!(container = request.id; "delete {}", request.exec_id);
        let (shared, id) = (self.shared.clone(), request.id.clone());
        let deleted = self.finish(&id, async move { shared.delete(&request.id, &request.exec_id).await });
        let (pid, status) = deleted.await?;
        let mut response = DeleteResponse::new();
        response.set_pid(pid);
        response.set_exit_status(status.code);
        response.set_exited_at(timestamp(status));
        Ok(response)
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> TtrpcResult<StateResponse> {
        let task = self.shared.tasks.get(&request.id)?;
        let process = task.process(&request.exec_id)?;
        let state = process.state();
        let mut response = StateResponse::new();
        response.set_id(task.key.id.clone());
        response.set_exec_id(request.exec_id);
        response.set_bundle(task.bundle.clone());
        response.set_pid(process.pid());
        response.set_status(state.status());
        response.set_stdin(process.stdio.stdin.clone());
        response.set_stdout(process.stdio.stdout.clone());
        response.set_stderr(process.stdio.stderr.clone());
        response.set_terminal(process.stdio.terminal);
        if let Some(status) = state.exit() {
            response.set_exit_status(status.code);
            response.set_exited_at(timestamp(status));
        }
        Ok(response)
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> TtrpcResult<WaitResponse> {
        let process = self.process(&request.id, &request.exec_id)?;
        let status = process.wait().await;
        let mut response = WaitResponse::new();
        response.set_exit_status(status.code);
        response.set_exited_at(timestamp(status));
        Ok(response)
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> TtrpcResult<PidsResponse> {
        let task = self.shared.tasks.get(&request.id)?;
        let programs = task.all_programs();
        let describe = |pid| -> Result<ProcessInfo> {
            let mut info = ProcessInfo { pid, ..Default::default() };
            if let Some(program) = programs.iter().find(|program| program.pid() == pid) {
                let details = ProcessDetails { exec_id: program.exec_id.clone(), ..Default::default() };
                info.info = Some(convert_to_any(Box::new(details))?).into();
            }
            Ok(info)
        };
        let processes = task.cgroups.processes().into_iter().map(describe).collect::<Result<_>>()?;
        Ok(PidsResponse { processes, ..Default::default() })
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> TtrpcResult<StatsResponse> {
        let task = self.shared.tasks.get(&request.id)?;
        let mut response = StatsResponse::new();
        response.set_stats(collect_stats(&task.cgroups)?);
        Ok(response)
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> TtrpcResult<ConnectResponse> {
        let task_pid = self.shared.tasks.get(&request.id).map_or(0, |task| task.init.pid());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..Default::default() })
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> TtrpcResult<Empty> {
        let process = self.process(&request.id, &request.exec_id)?;
        if request.stdin {
            process.close_input();
        }
        Ok(Empty::new())
    }

    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> TtrpcResult<Empty> {
        let (shared, exit, id) = (self.shared.clone(), self.exit.clone(), request.id.clone());
        let shut_down = async move {
            let leaves = shared.shut_down(&request.id).await || request.now;
            Ok(leaves.then(|| Leave(exit)))
        };
        let _leave = self.finish(&id, shut_down).await?;
        Ok(Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> TtrpcResult<Empty> {
        debug!(container = request.id; "exec {}", request.exec_id);
        self.activity.note();
        let (shared, id) = (self.shared.clone(), request.id.clone());
        self.finish(&id, async move { shared.exec(request).await }).await?;
        Ok(Empty::new())
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> TtrpcResult<Empty> {
        let (shared, id) = (self.shared.clone(), request.id.clone());
        self.finish(&id, async move { shared.pause(&request.id).await }).await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> TtrpcResult<Empty> {
        let (shared, id) = (self.shared.clone(), request.id.clone());
        self.finish(&id, async move { shared.resume(&request.id).await }).await?;
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> TtrpcResult<Empty> {
        let (shared, id) = (self.shared.clone(), request.id.clone());
        self.finish(&id, async move { shared.update(request).await }).await?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> TtrpcResult<Empty> {
        self.process(&request.id, &request.exec_id)?.resize(request.width, request.height)?;
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> TtrpcResult<Empty> {
        self.shared.tasks.get(&request.id)?;
        Err(TaskError::unimplemented("checkpoints are not supported").into())
    }
}
