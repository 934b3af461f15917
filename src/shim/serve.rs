//! The daemon: one socket, the task API in its second and third version, the sandbox API where it is asked for, until containerd
//! says that it is over.

use std::{
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Result;
use containerd_shim::{
    ExitSignal,
    protos::{
        sandbox_async::create_sandbox,
        shim_async::create_task,
        ttrpc::r#async::{Server, transport::Listener},
    },
};
use futures::stream;
use log::{info, warn};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, unix::pipe},
    time::sleep,
};
use wasmedge_shim_protocol::{Channel, PodName, check_peer};

use crate::{
    engine::{EngineClient, Launcher},
    events::Publisher,
    logging,
    sandbox::SandboxService,
    socket,
    starting::{Entry, Known},
    task::{ABANDONED, Names, TaskService},
    trim::Activity,
};

/// The service's name in containerd 2, and the one it had before; the messages are the same.
const TASK_V3: &str = "containerd.task.v3.Task";
const TASK_V2: &str = "containerd.task.v2.Task";

/// How long connections wait when they cannot be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What `start` says once containerd knows the address.
pub const ANSWERED: u8 = 1;

/// What `start` hands over to the daemon.
pub struct Daemon {
    /// containerd's namespace.
    pub namespace: String,
    /// What the containers of this daemon share: the id of the pod's sandbox, or of the one container.
    pub sandbox: String,
    /// Whether the daemon is to hold that sandbox.
    pub for_sandbox: bool,
    /// What Kubernetes calls the pod, where its containers say so.
    pub pod: Option<PodName>,
    /// Whether containerd wants more messages.
    pub debug: bool,
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// The socket's file, which another may take the place of.
    pub identity: Option<socket::Identity>,
    /// The socket of containerd's API.
    pub containerd: PathBuf,
    /// containerd's socket for events.
    pub events: String,
    /// It listens already.
    pub listener: std::os::unix::net::UnixListener,
    /// Tells that `start` has answered; its end without a word, that nobody will ever come.
    pub answered: io::PipeReader,
    /// Until containerd knows of the daemon.
    pub entry: Entry,
    /// Starts engine hosts.
    pub launcher: Launcher,
    /// The engine host, where a hello is under way.
    pub engine: Channel,
}

/// Serves until there is nothing to serve any more.
pub async fn serve(daemon: Daemon) -> Result<()> {
    let pod: Arc<OnceLock<PodName>> = Arc::new(daemon.pod.map(OnceLock::from).unwrap_or_default());
    let common = logging::Names { namespace: daemon.namespace.clone(), sandbox: daemon.sandbox, pod: pod.clone() };
    logging::begin(common, daemon.debug)?;
    let publisher = Arc::new(Publisher::new(&daemon.events, &daemon.namespace));
    let exit = Arc::new(ExitSignal::default());
    let activity = Activity::default();
    tokio::spawn(activity.clone().trim_when_quiet());
    let engine = EngineClient::new(daemon.launcher, Some(daemon.engine));
    let names = Names { namespace: daemon.namespace, containerd: daemon.containerd, pod };
    let known = Known::new(daemon.entry);
    let service = TaskService::new(names, engine, publisher.clone(), exit.clone(), activity.clone(), known.clone());
    let shared = service.shared();
    daemon.listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(daemon.listener)?;
    let mut server = task_server(trusted(listener), Arc::new(service));
    if daemon.for_sandbox {
        let service = SandboxService::new(shared.clone(), exit.clone(), known, activity);
        server = server.register_service(create_sandbox(Arc::new(service)));
    }
    server.start().await?;
    info!("serving {}", daemon.socket.display());

    tokio::select! {
        () = exit.wait() => {}
        () = unheard(daemon.answered) => info!("containerd was not told the address: leaving"),
        () = shared.tasks.abandoned() => info!("no container for {ABANDONED:?}: leaving"),
    }
    // First of all: from here on whoever wants a daemon makes one, at the same path.
    if let Some(identity) = daemon.identity {
        identity.remove(&daemon.socket);
    }
    // The answer to the request that ended it all is still to be sent.
    server.shutdown().await.unwrap_or_else(|error| warn!("shutdown of the server: {error}"));
    publisher.flush().await;
    Ok(())
}

/// Returns when `start` has ended without an answer.
async fn unheard(answered: io::PipeReader) {
    let answer = async {
        let answered = OwnedFd::from(answered);
        nix::fcntl::fcntl(&answered, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
        let mut word = [0];
        let mut answered = pipe::Receiver::from_owned_fd_unchecked(answered)?;
        answered.read_exact(&mut word).await.map(|_| word == [ANSWERED])
    };
    if answer.await.unwrap_or(false) {
        std::future::pending::<()>().await;
    }
}

/// A server of the same service under both its names.
fn task_server(listener: Listener, service: Arc<TaskService>) -> Server {
    let mut server = Server::new().add_listener(listener).register_service(create_task(service.clone()));
    if let Some(methods) = create_task(service).remove(TASK_V3) {
        server = server.register_service([(TASK_V2.to_owned(), methods)].into());
    }
    server
}

/// Connections of root's processes.
fn trusted(listener: UnixListener) -> Listener {
    Listener::new(stream::unfold(listener, |listener| async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match check_peer(&stream) {
                    Ok(_) => return Some((Ok(stream), listener)),
                    Err(error) => warn!("connection refused: {error}"),
                },
                Err(error) => {
                    // Such as no room for its descriptor. It waits in the queue, so the next attempt comes at once.
                    warn!("no connection can be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }))
}
