//! What the verbs work with.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use wasmedge_shim_protocol::PodName;

use super::tasks::Tasks;
use crate::{engine::EngineClient, events::Publisher, sandbox::Sandbox, tracing::Tracing};

/// What the verbs work with.
pub struct Shared {
    /// containerd's namespace.
    pub namespace: String,
    /// The containers.
    pub tasks: Arc<Tasks>,
    /// The engine host.
    pub engine: EngineClient,
    /// The socket of containerd's API.
    pub containerd: PathBuf,
    /// What Kubernetes calls the pod, once that is known.
    pub pod: Arc<OnceLock<PodName>>,
    /// Where spans go, if anywhere.
    pub tracing: Option<Tracing>,
    /// containerd's event bus.
    pub publisher: Arc<Publisher>,
    /// The pod that the shim holds, if it does.
    pub sandbox: OnceLock<Arc<Sandbox>>,
}
