//! The verbs for a container's resources: pause, resume, update.

use containerd_shim::{
    api::UpdateTaskRequest,
    protos::events::task::{TaskPaused, TaskResumed},
};
use wasmedge_shim_protocol::Update;

use super::{shared::Shared, state::State};
use crate::{
    cgroup::{freeze, thaw},
    error::{Result, TaskError},
};

impl Shared {
    /// Freezes a container.
    pub async fn pause(&self, id: &str) -> Result<()> {
        let task = self.tasks.get(id)?;
        let _turn = task.init.turn.lock().await;
        task.init.state().check_pause()?;
        freeze(&task.cgroups).await.map_err(|error| TaskError::other(format!("cannot pause {id}: {error}")))?;
        task.init.advance(State::Running, State::Paused);
        let mut event = TaskPaused::new();
        event.set_container_id(id.to_owned());
        self.publisher.publish(event).await;
        Ok(())
    }

    /// Lets a frozen container go on.
    pub async fn resume(&self, id: &str) -> Result<()> {
        let task = self.tasks.get(id)?;
        let _turn = task.init.turn.lock().await;
        task.init.state().check_resume()?;
        thaw(&task.cgroups).map_err(|error| TaskError::other(format!("cannot resume {id}: {error}")))?;
        task.init.advance(State::Paused, State::Running);
        let mut event = TaskResumed::new();
        event.set_container_id(id.to_owned());
        self.publisher.publish(event).await;
        Ok(())
    }

    /// Changes a container's resources.
    pub async fn update(&self, request: UpdateTaskRequest) -> Result<()> {
        let task = self.tasks.get(&request.id)?;
        task.init.state().check_kill()?;
        let resources = request.resources.value.clone();
        self.engine.update(Update { key: task.key.clone(), resources }).await
    }
}
