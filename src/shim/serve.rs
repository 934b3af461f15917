//! The daemon: one socket, the task API in its second and third version, until containerd says that it is over.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use containerd_shim::{
    ExitSignal, Flags, logger,
    protos::{
        shim_async::create_task,
        ttrpc::r#async::{Server, transport::Listener},
    },
};
use futures::stream;
use log::{info, warn};
use tokio::net::{UnixListener, UnixStream};
use wasmedge_shim_protocol::{Location, check_peer};

use crate::{
    engine::Launcher,
    events::Publisher,
    starting::Entry,
    task::{ABANDONED, TaskService},
    trim::Activity,
};

/// The service's name in containerd 2, and the one it had before; the messages are the same.
const TASK_V3: &str = "containerd.task.v3.Task";
const TASK_V2: &str = "containerd.task.v2.Task";

/// Serves on the socket that `flags` name. Standard output is closed once containerd can connect.
pub async fn serve(flags: &Flags) -> Result<()> {
    // Not to be reached by signals for containerd's process group. It fails only for a group's leader.
    let _ = nix::unistd::setsid();
    logger::init(flags.debug, "info", &flags.namespace, &flags.id)?;
    let path = PathBuf::from(flags.socket.trim_start_matches("unix://"));
    let Some(entry) = Entry::adopt(&Location::default(), &path)? else { return Ok(()) };
    let Some(listener) = listen(&path).await? else {
        entry.end();
        return detach();
    };

    let address = std::env::var("TTRPC_ADDRESS").context("TTRPC_ADDRESS is not set")?;
    let publisher = Arc::new(Publisher::new(&address, &flags.namespace));
    let exit = Arc::new(ExitSignal::default());
    let activity = Activity::default();
    tokio::spawn(activity.clone().trim_when_quiet());
    let service = TaskService::new(flags, Launcher::remembered(), publisher.clone(), exit.clone(), activity, entry);
    let tasks = service.tasks();
    let mut server = task_server(trusted(listener), Arc::new(service));
    server.start().await?;
    detach()?;
    info!("serving {}", path.display());

    tokio::select! {
        () = exit.wait() => {}
        () = tasks.abandoned() => info!("no container for {ABANDONED:?}: leaving"),
    }
    // The answer to the request that ended it all is still to be sent.
    server.shutdown().await.unwrap_or_else(|error| warn!("shutdown of the server: {error}"));
    publisher.flush().await;
    remove(&path);
    Ok(())
}

/// A server of the same service under both its names.
fn task_server(listener: Listener, service: Arc<TaskService>) -> Server {
    let mut server = Server::new().add_listener(listener).register_service(create_task(service.clone()));
    if let Some(methods) = create_task(service).remove(TASK_V3) {
        server = server.register_service([(TASK_V2.to_owned(), methods)].into());
    }
    server
}

/// Listens at `path`, for root only; `None` where another daemon of the same pod does so already.
async fn listen(path: &Path) -> Result<Option<UnixListener>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    for _ in 0..2 {
        // From the first moment on: bind makes the file with the mask's permissions. There is one thread.
        let mask = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(mask);
        match bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).await.is_ok() {
                    return Ok(None);
                }
                // A daemon that was killed left it.
                remove(path);
            }
            bound => return bound.map(Some).with_context(|| format!("cannot listen on {}", path.display())),
        }
    }
    anyhow::bail!("cannot listen on {}: another process takes it each time", path.display())
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
                Err(error) => return Some((Err(error), listener)),
            }
        }
    }))
}

/// Tells `start`, which waits for the end of this process's standard output, that the socket is there.
fn detach() -> Result<()> {
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    nix::unistd::dup2_stdout(&null)?;
    Ok(())
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!("cannot remove {}: {error}", path.display());
    }
}
