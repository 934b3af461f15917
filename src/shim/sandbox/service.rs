//! containerd's sandbox API: only conversion between its messages and the pod.

use std::{io, os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use containerd_shim::{
    ExitSignal, TtrpcContext, TtrpcResult,
    protos::{
        protobuf::{MessageField, well_known_types::timestamp::Timestamp},
        sandbox_api::{
            CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest, PlatformResponse,
            SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest, SandboxStatusResponse,
            ShutdownSandboxRequest, ShutdownSandboxResponse, StartSandboxRequest, StartSandboxResponse,
            StopSandboxRequest, StopSandboxResponse, WaitSandboxRequest, WaitSandboxResponse,
        },
        types::platform::Platform,
    },
};
use log::{debug, info, warn};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::{io::unix::AsyncFd, task::spawn_blocking, time::sleep};

use super::{
    config::PodConfig,
    pod::{KILLED, Place, Sandbox},
};
use crate::{
    cgroup::collect_stats,
    error::{Result, TaskError},
    events::timestamp,
    starting::Known,
    task::{Leave, Shared},
    trim::Activity,
};

/// What CRI calls the states of a pod (`runtime.v1.PodSandboxState`).
const READY: &str = "SANDBOX_READY";
const NOT_READY: &str = "SANDBOX_NOTREADY";

/// How long a shim whose pod is gone waits for containerd to take notice.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The service of one pod.
pub struct SandboxService {
    shared: Arc<Shared>,
    exit: Arc<ExitSignal>,
    known: Known,
    activity: Activity,
    /// Serializes what changes the pod.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl SandboxService {
    /// For the containers of `shared`; `exit` is signalled when the pod is shut down.
    pub fn new(shared: Arc<Shared>, exit: Arc<ExitSignal>, known: Known, activity: Activity) -> Self {
        Self { shared, exit, known, activity, turn: Arc::default() }
    }

    fn sandbox(&self, id: &str) -> Result<Arc<Sandbox>> {
        let sandbox = self.shared.sandbox.get().filter(|sandbox| sandbox.id() == id).cloned();
        sandbox.ok_or_else(|| TaskError::not_found(format!("sandbox {id} not found")))
    }

    /// Does it to its end, whatever becomes of the caller, one after the other.
    async fn finish<T: Send + 'static>(&self, verb: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let turn = self.turn.clone();
        let task = tokio::spawn(async move {
            let _turn = turn.lock_owned().await;
            verb.await
        });
        task.await.unwrap_or_else(|_| Err(TaskError::other("the shim is ending")))
    }

    fn create(&self, request: CreateSandboxRequest) -> Result<()> {
        let config = PodConfig::read(request.options.as_ref())?;
        let name = config.name();
        let (id, bundle) = (request.sandbox_id, request.bundle_path.into());
        let place = Place { namespace: self.shared.namespace.clone(), id: id.clone(), bundle };
        let sandbox = Arc::new(Sandbox::new(place, config, &request.netns_path)?);
        let gone = BundleWatch::new(sandbox.bundle());
        let gone =
            gone.map_err(|error| TaskError::other(format!("cannot watch the bundle of sandbox {id}: {error}")))?;
        if self.shared.sandbox.set(sandbox.clone()).is_err() {
            return Err(TaskError::already_exists(format!("the shim has a sandbox, and cannot have {id}")));
        }
        if let Some(name) = name {
            // It has none yet: that of a container is known to a shim without a sandbox alone.
            let _ = self.shared.pod.set(name);
        }
        self.shared.tasks.occupy();
        let (shared, exit, turn) = (self.shared.clone(), self.exit.clone(), self.turn.clone());
        tokio::spawn(async move {
            gone.wait().await;
            let _turn = turn.lock_owned().await;
            info!("the bundle of sandbox {} is gone: leaving", sandbox.id());
            if let Err(error) = end(&shared, sandbox).await {
                warn!("{error}");
            }
            drop(Leave(exit));
        });
        Ok(())
    }
}

/// Ends the pod and its containers; nothing is left.
async fn end(shared: &Shared, sandbox: Arc<Sandbox>) -> Result<()> {
    let mut failed = shared.end_all().await.err();
    let ended = spawn_blocking(move || sandbox.stop(KILLED).and_then(|()| sandbox.remove())).await;
    failed = failed.or(ended.unwrap_or_else(|error| Err(TaskError::other(error.to_string()))).err());
    failed.map_or(Ok(()), Err)
}

/// Notes the end of the pod's first process, which is the end of the pod.
async fn follow(sandbox: Arc<Sandbox>) -> io::Result<()> {
    let Some((pid, pidfd)) = sandbox.init() else { return Ok(()) };
    let pidfd = OwnedFd::from(pidfd?);
    // SAFETY: the AsyncFd owns the descriptor, which stays open and the same for as long.
    let watched = unsafe { AsyncFd::register(pidfd) }.map_err(io::Error::from)?;
    tokio::select! {
        _ = sandbox.wait() => return Ok(()),
        ended = watched.readable() => drop(ended?),
    }
    warn!("the first process of sandbox {}, {pid}, has ended", sandbox.id());
    let stopped = spawn_blocking(move || sandbox.stop(KILLED)).await;
    stopped.map_err(io::Error::other)?.map_err(io::Error::other)
}

/// Tells when containerd has given up a pod. It forgets a shim, and asks nothing of it any more, not even to end, when the
/// client of a creation goes away in the middle of it; the bundle it removes each time.
struct BundleWatch(AsyncFd<OwnedFd>);

impl BundleWatch {
    fn new(bundle: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(bundle, AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF)?;
        // SAFETY: the AsyncFd owns the descriptor, which stays open and the same for as long.
        unsafe { AsyncFd::register(OwnedFd::from(inotify)) }.map(Self).map_err(io::Error::from)
    }

    async fn wait(&self) {
        let _ = self.0.readable().await;
    }
}

#[async_trait]
impl containerd_shim::protos::sandbox_async::Sandbox for SandboxService {
    async fn create_sandbox(
        &self,
        _: &TtrpcContext,
        request: CreateSandboxRequest,
    ) -> TtrpcResult<CreateSandboxResponse> {
        debug!("create sandbox {}", request.sandbox_id);
        self.known.note();
        self.activity.note();
        self.create(request)?;
        Ok(CreateSandboxResponse::new())
    }

    async fn start_sandbox(&self, _: &TtrpcContext, request: StartSandboxRequest) -> TtrpcResult<StartSandboxResponse> {
        debug!("start sandbox {}", request.sandbox_id);
        self.activity.note();
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let starting = sandbox.clone();
        let started = async move {
            spawn_blocking(move || starting.start())
                .await
                .unwrap_or_else(|error| Err(TaskError::other(error.to_string())))
        };
        self.finish(started).await?;
        tokio::spawn({
            let sandbox = sandbox.clone();
            async move {
                if let Err(error) = follow(sandbox).await {
                    warn!("{error}");
                }
            }
        });
        let pid = sandbox.init().map_or(0, |(pid, _)| pid);
        Ok(StartSandboxResponse { pid, created_at: created_at(&sandbox), ..Default::default() })
    }

    async fn platform(&self, _: &TtrpcContext, request: PlatformRequest) -> TtrpcResult<PlatformResponse> {
        self.sandbox(&request.sandbox_id)?;
        let platform = Platform { os: "linux".into(), architecture: architecture().into(), ..Default::default() };
        Ok(PlatformResponse { platform: MessageField::some(platform), ..Default::default() })
    }

    async fn stop_sandbox(&self, _: &TtrpcContext, request: StopSandboxRequest) -> TtrpcResult<StopSandboxResponse> {
        debug!("stop sandbox {}", request.sandbox_id);
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let stopped = async move {
            spawn_blocking(move || sandbox.stop(0))
                .await
                .unwrap_or_else(|error| Err(TaskError::other(error.to_string())))
        };
        self.finish(stopped).await?;
        Ok(StopSandboxResponse::new())
    }

    async fn wait_sandbox(&self, _: &TtrpcContext, request: WaitSandboxRequest) -> TtrpcResult<WaitSandboxResponse> {
        let status = self.sandbox(&request.sandbox_id)?.wait().await;
        let exited_at = MessageField::some(timestamp(status));
        Ok(WaitSandboxResponse { exit_status: status.code, exited_at, ..Default::default() })
    }

    async fn sandbox_status(
        &self,
        _: &TtrpcContext,
        request: SandboxStatusRequest,
    ) -> TtrpcResult<SandboxStatusResponse> {
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let mut response = SandboxStatusResponse {
            sandbox_id: request.sandbox_id,
            pid: sandbox.init().map_or(0, |(pid, _)| pid),
            state: if sandbox.is_ready() { READY } else { NOT_READY }.into(),
            created_at: created_at(&sandbox),
            ..Default::default()
        };
        if let Some(status) = sandbox.ended() {
            response.exited_at = MessageField::some(timestamp(status));
        }
        Ok(response)
    }

    async fn ping_sandbox(&self, _: &TtrpcContext, request: PingRequest) -> TtrpcResult<PingResponse> {
        self.sandbox(&request.sandbox_id)?;
        Ok(PingResponse::new())
    }

    async fn shutdown_sandbox(
        &self,
        _: &TtrpcContext,
        request: ShutdownSandboxRequest,
    ) -> TtrpcResult<ShutdownSandboxResponse> {
        debug!("shut down sandbox {}", request.sandbox_id);
        let (shared, exit) = (self.shared.clone(), self.exit.clone());
        // Without a sandbox, whose creation has failed, there is only the shim to end.
        let sandbox = self.sandbox(&request.sandbox_id).ok();
        let ended = async move {
            if let Some(sandbox) = sandbox {
                end(&shared, sandbox).await?;
            }
            Ok(())
        };
        self.finish(ended).await?;
        // containerd takes an answer that does not reach it for a failure, and removes the bundle once it has it: that is when
        // to leave.
        tokio::spawn(async move {
            sleep(ANSWER_TIMEOUT).await;
            drop(Leave(exit));
        });
        Ok(ShutdownSandboxResponse::new())
    }

    async fn sandbox_metrics(
        &self,
        _: &TtrpcContext,
        request: SandboxMetricsRequest,
    ) -> TtrpcResult<SandboxMetricsResponse> {
        let sandbox = self.sandbox(&request.sandbox_id)?;
        let mut response = SandboxMetricsResponse::new();
        let metric = response.metrics.mut_or_insert_default();
        metric.id = request.sandbox_id;
        metric.timestamp = MessageField::some(Timestamp::now());
        metric.data = MessageField::some(collect_stats(&sandbox.cgroups())?);
        Ok(response)
    }
}

fn created_at(sandbox: &Sandbox) -> MessageField<Timestamp> {
    MessageField::some(sandbox.created_at().into())
}

/// What Go calls this machine's architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
