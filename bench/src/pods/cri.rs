//! containerd's CRI plugin, as a kubelet calls it: the few messages that a pod with one container needs
//! (Kubernetes, `cri-api/pkg/apis/runtime/v1/api.proto`).

use std::path::Path;

use anyhow::{Context, Result};
use containerd_client::tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use prost::Message;
use tonic_prost::ProstCodec;

use crate::containerd::Answer;

/// `NamespaceMode.CONTAINER`: what Kubernetes asks for unless a pod shares its processes.
const OF_CONTAINER: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct PodMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Namespaces {
    #[prost(int32, tag = "2")]
    pid: i32,
}

#[derive(Clone, PartialEq, Message)]
struct PodSecurity {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPod {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security: Option<PodSecurity>,
}

/// What a pod is made from.
#[derive(Clone, PartialEq, Message)]
pub struct PodConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodMetadata>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPod>,
}

#[derive(Clone, PartialEq, Message)]
struct RunPod {
    #[prost(message, optional, tag = "1")]
    config: Option<PodConfig>,
    #[prost(string, tag = "2")]
    handler: String,
}

/// Requests and answers that hold one id.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, optional, tag = "3")]
    namespaces: Option<Namespaces>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainer {
    #[prost(message, optional, tag = "2")]
    security: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    /// `ImageSpec`, whose first field is the name as well.
    #[prost(message, optional, tag = "2")]
    image: Option<Id>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainer>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainer {
    #[prost(string, tag = "1")]
    pod: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    pod_config: Option<PodConfig>,
}

/// A pod's configuration.
pub fn pod(name: &str) -> PodConfig {
    let namespaces = Some(Namespaces { pid: OF_CONTAINER });
    PodConfig {
        metadata: Some(PodMetadata { name: name.into(), uid: name.into(), namespace: "bench".into() }),
        linux: Some(LinuxPod { cgroup_parent: "/bench-pods".into(), security: Some(PodSecurity { namespaces }) }),
    }
}

/// The connection.
pub struct Cri(Grpc<Channel>);

impl Cri {
    /// Connects to containerd's socket.
    pub async fn connect(address: &Path) -> Result<Self> {
        let channel = containerd_client::connect(address).await;
        Ok(Self(Grpc::new(channel.with_context(|| format!("connecting to containerd at {}", address.display()))?)))
    }

    async fn call<T: Message + 'static, A: Message + Default + 'static>(
        &mut self,
        verb: &'static str,
        message: T,
    ) -> Result<A> {
        self.0.ready().await.context("containerd")?;
        let path = PathAndQuery::from_maybe_shared(format!("/runtime.v1.RuntimeService/{verb}"))?;
        self.0.unary(Request::new(message), path, ProstCodec::default()).await.doing(verb)
    }

    /// Makes a pod under a handler of containerd's configuration; its id.
    pub async fn run_pod(&mut self, config: &PodConfig, handler: &str) -> Result<String> {
        let message = RunPod { config: Some(config.clone()), handler: handler.into() };
        Ok(self.call::<_, Id>("RunPodSandbox", message).await?.id)
    }

    /// Makes a container in a pod; its id.
    pub async fn create(&mut self, pod: &str, pod_config: &PodConfig, image: &str, words: &[&str]) -> Result<String> {
        let security = ContainerSecurity { namespaces: Some(Namespaces { pid: OF_CONTAINER }) };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: "c".into() }),
            image: Some(Id { id: image.into() }),
            command: words.iter().map(ToString::to_string).collect(),
            linux: Some(LinuxContainer { security: Some(security) }),
        };
        let pod_config = Some(pod_config.clone());
        let message = CreateContainer { pod: pod.into(), config: Some(config), pod_config };
        Ok(self.call::<_, Id>("CreateContainer", message).await?.id)
    }

    /// Starts a container.
    pub async fn start(&mut self, id: &str) -> Result<()> {
        self.call::<_, Nothing>("StartContainer", Id { id: id.into() }).await.map(drop)
    }

    /// Ends a pod with all in it, and removes it.
    pub async fn remove_pod(&mut self, id: &str) -> Result<()> {
        self.call::<_, Nothing>("StopPodSandbox", Id { id: id.into() }).await?;
        self.call::<_, Nothing>("RemovePodSandbox", Id { id: id.into() }).await.map(drop)
    }
}
