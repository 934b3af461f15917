//! After a shim that is gone: what its container leaves behind is removed, and its exit status found where anybody
//! still knows it.

use log::warn;
use wasmedge_shim_protocol::{ContainerKey, ExitStatus, Location};

use crate::{
    engine::{EngineClient, Launcher},
    error::Result,
    starting,
};

/// What containerd's Go shim reports for a container whose shim was killed: 128 + SIGKILL.
const KILLED: u32 = 137;

/// What became of the container.
pub struct Deleted {
    /// Its init's process id, 0 where it never had one.
    pub pid: u32,
    /// Its exit status, [`KILLED`] where nobody knows better.
    pub status: ExitStatus,
}

/// Removes the container `key`. containerd runs `delete` in the bundle, which it removes
/// itself.
pub async fn delete(key: &ContainerKey) -> Result<Deleted> {
    remove_socket().await;
    starting::sweep(&Location::default());
    let (engine, _notices) = EngineClient::new(Launcher::remembered());
    let deleted = engine.delete(key).await?;
    let status = deleted.status.unwrap_or_else(|| ExitStatus::now(KILLED));
    Ok(Deleted { pid: deleted.pid, status })
}

/// Removes the dead shim's socket, named in its bundle. Where the shim serves other containers of the pod it lives.
async fn remove_socket() {
    let Ok(address) = tokio::fs::read_to_string("address").await else { return };
    let path = address.trim().trim_start_matches("unix://");
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return;
    }
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!("cannot remove {path}: {error}");
    }
}
