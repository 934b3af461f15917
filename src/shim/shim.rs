//! The question what this runtime is, `-info`.

use async_trait::async_trait;
use containerd_shim::{
    Config, DeleteResponse, Error, Flags, Result, StartOpts,
    asynchronous::publisher::RemotePublisher,
    protos::{protobuf::well_known_types::any::Any, types::introspection::RuntimeInfo},
};

use crate::features;

/// One invocation of this program for `-info`. The actions are answered by [`crate::start`] and [`crate::cleanup`].
pub struct Shim;

/// The task service is served by `serve`, not by containerd-shim: that serves the task API in its third version only.
pub struct NoService;

impl containerd_shim::Task for NoService {}

#[async_trait]
impl containerd_shim::asynchronous::Shim for Shim {
    type T = NoService;

    async fn new(_runtime_id: &str, _flags: &Flags, _config: &mut Config) -> Self {
        Self
    }

    async fn start_shim(&mut self, _opts: StartOpts) -> Result<String> {
        Err(Error::Unimplemented("start".to_owned()))
    }

    async fn delete_shim(&mut self) -> Result<DeleteResponse> {
        Err(Error::Unimplemented("delete".to_owned()))
    }

    async fn wait(&mut self) {}

    fn runtime_info(name: &str, _options: Option<&Any>) -> Result<RuntimeInfo> {
        Ok(features::runtime_info(name))
    }

    async fn create_task_service(&self, _publisher: RemotePublisher) -> NoService {
        NoService
    }
}
