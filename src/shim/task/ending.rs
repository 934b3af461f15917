//! Containers of a pod that the shim holds: which there are is noted on disk for whoever cleans up after the shim, and they end
//! with the pod.

use containerd_shim::api::KillRequest;
use log::warn;
use wasmedge_shim_protocol::{ContainerKey, Pod};

use super::shared::Shared;
use crate::error::{Result, TaskError};

impl Shared {
    /// What container `id`, which is about to be made, shares with its pod; `None` where the shim holds none.
    pub fn join(&self, id: &str) -> Result<Option<Pod>> {
        let Some(sandbox) = self.sandbox.get() else { return Ok(None) };
        let pod = sandbox.shared()?;
        let noted = sandbox.files().note(id);
        noted.map_err(|error| TaskError::other(format!("cannot note that container {id} is made: {error}")))?;
        Ok(Some(pod))
    }

    /// Removes a container and its note.
    pub async fn delete_from_host(&self, key: &ContainerKey) -> Result<()> {
        self.engine.delete(key, false).await?;
        if let Some(sandbox) = self.sandbox.get() {
            sandbox.files().forget(&key.id);
        }
        Ok(())
    }

    /// Ends and removes all containers, those that are being created as well; there will be none any more.
    ///
    /// # Errors
    /// The first, after all has been tried.
    pub async fn end_all(&self) -> Result<()> {
        let mut failed = None;
        for id in self.tasks.close() {
            self.tasks.created(&id).await;
            failed = failed.or(self.end_one(&id).await.err());
        }
        let left = self.sandbox.get().map(|sandbox| sandbox.files().containers()).unwrap_or_default();
        for id in left {
            let key = ContainerKey { namespace: self.namespace.clone(), id };
            failed = failed.or(self.delete_from_host(&key).await.err());
        }
        failed.map_or(Ok(()), Err)
    }

    async fn end_one(&self, id: &str) -> Result<()> {
        // One that could not be created is gone.
        let Ok(task) = self.tasks.get(id) else { return Ok(()) };
        if task.init.is_alive() {
            let request = KillRequest {
                id: id.to_owned(),
                signal: libc::SIGKILL.unsigned_abs(),
                all: true,
                ..Default::default()
            };
            // It may have ended by itself.
            self.kill(&request).unwrap_or_else(|error| warn!("{error}"));
            task.init.wait().await;
        }
        self.delete(id, "").await.map(drop)
    }
}
