//! After a shim that is gone: what its container leaves behind is removed, and its exit status found where anybody
//! still knows it.

use log::warn;
use wasmedge_shim_protocol::{ContainerKey, ExitStatus};

use crate::{
    engine::{EngineClient, Launcher},
    error::Result,
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
    let (engine, _notices) = EngineClient::new(Launcher::remembered());
    let deleted = engine.delete(key).await?;
    let status = deleted.status.unwrap_or_else(|| ExitStatus::now(KILLED));
    Ok(Deleted { pid: deleted.pid, status })
}

/// Removes the dead shim's socket, named in its bundle. Where the shim serves other containers of the pod it lives.
async fn remove_socket() {
    if let Ok(address) = tokio::fs::read_to_string("address").await {
        remove_unless_served(address.trim()).await;
    }
}

/// Removes the socket at `address` if nobody listens there any more. After a daemon that was killed while it started
/// containerd does not ask for a clean-up: its first connection fails, and it forgets the shim.
pub async fn remove_unless_served(address: &str) {
    let path = address.trim_start_matches("unix://");
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return;
    }
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!("cannot remove {path}: {error}");
    }
}
