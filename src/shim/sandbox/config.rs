//! What CRI wants of a pod: `runtime.v1.PodSandboxConfig`, of which these are the parts that a sandbox is made from
//! (Kubernetes, `cri-api/pkg/apis/runtime/v1/api.proto`).

use std::collections::HashMap;

use containerd_shim::protos::protobuf::well_known_types::any::Any;
use prost::Message;
use wasmedge_shim_protocol::PodName;

use crate::error::{Result, TaskError};

/// The message's name, with or without what a URL has before it.
const NAME: &str = "runtime.v1.PodSandboxConfig";

/// A pod.
#[derive(Clone, PartialEq, Message)]
pub struct PodConfig {
    /// What Kubernetes calls it.
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<Metadata>,
    /// Empty for the node's.
    #[prost(string, tag = "2")]
    pub hostname: String,
    /// `None` for the node's.
    #[prost(message, optional, tag = "4")]
    pub dns: Option<Dns>,
    /// The pod's annotations.
    #[prost(map = "string, string", tag = "7")]
    pub annotations: HashMap<String, String>,
    /// What is of Linux only.
    #[prost(message, optional, tag = "8")]
    pub linux: Option<Linux>,
}

/// What Kubernetes calls a pod.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Metadata {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace in the cluster.
    #[prost(string, tag = "3")]
    pub namespace: String,
}

/// How names are looked up.
#[derive(Clone, PartialEq, Message)]
pub struct Dns {
    /// Addresses of name servers.
    #[prost(string, repeated, tag = "1")]
    pub servers: Vec<String>,
    /// Search domains.
    #[prost(string, repeated, tag = "2")]
    pub searches: Vec<String>,
    /// Options, resolv.conf(5).
    #[prost(string, repeated, tag = "3")]
    pub options: Vec<String>,
}

/// What is of Linux only.
#[derive(Clone, PartialEq, Message)]
pub struct Linux {
    /// The cgroup in which the containers' are: a path, or a slice of systemd.
    #[prost(string, tag = "1")]
    pub cgroup_parent: String,
    /// The walls of the pod.
    #[prost(message, optional, tag = "2")]
    pub security: Option<Security>,
    /// Kernel parameters of the pod's namespaces.
    #[prost(map = "string, string", tag = "3")]
    pub sysctls: HashMap<String, String>,
}

/// The walls of a pod.
#[derive(Clone, PartialEq, Message)]
pub struct Security {
    /// Which namespaces are whose.
    #[prost(message, optional, tag = "1")]
    pub namespaces: Option<Namespaces>,
}

/// Which namespaces are whose.
#[derive(Clone, PartialEq, Message)]
pub struct Namespaces {
    /// Of the network, and of the host name with it.
    #[prost(enumeration = "Mode", tag = "1")]
    pub network: i32,
    /// Of processes.
    #[prost(enumeration = "Mode", tag = "2")]
    pub pid: i32,
    /// Of System V IPC and POSIX message queues.
    #[prost(enumeration = "Mode", tag = "3")]
    pub ipc: i32,
    /// Of users, the node's where it is `None`.
    #[prost(message, optional, tag = "5")]
    pub user: Option<UserNamespace>,
}

/// Whose a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// All containers of the pod share one.
    Pod = 0,
    /// Each container has its own.
    Container = 1,
    /// The node's.
    Node = 2,
    /// That of another container.
    Target = 3,
}

/// A user namespace.
#[derive(Clone, PartialEq, Message)]
pub struct UserNamespace {
    /// [`Mode::Pod`] or [`Mode::Node`].
    #[prost(enumeration = "Mode", tag = "1")]
    pub mode: i32,
    /// Users.
    #[prost(message, repeated, tag = "2")]
    pub uids: Vec<Mapping>,
    /// Groups.
    #[prost(message, repeated, tag = "3")]
    pub gids: Vec<Mapping>,
}

/// A range of users or groups.
#[derive(Clone, Copy, PartialEq, Eq, Message, serde::Serialize, serde::Deserialize)]
pub struct Mapping {
    /// The first on the node.
    #[prost(uint32, tag = "1")]
    pub host_id: u32,
    /// The first in the pod.
    #[prost(uint32, tag = "2")]
    pub container_id: u32,
    /// How many.
    #[prost(uint32, tag = "3")]
    pub length: u32,
}

impl PodConfig {
    /// Reads what containerd passes on of CRI's request; without anything, a pod in which everything is as CRI has it by default.
    ///
    /// # Errors
    /// Where it is another message, or none that can be read.
    pub fn read(options: Option<&Any>) -> Result<Self> {
        let Some(any) = options.filter(|any| !any.type_url.is_empty()) else { return Ok(Self::default()) };
        if any.type_url.rsplit('/').next() != Some(NAME) {
            return Err(TaskError::invalid(format!("a sandbox is made from a {NAME}, not from a {:?}", any.type_url)));
        }
        Self::decode(any.value.as_slice())
            .map_err(|error| TaskError::invalid(format!("the {NAME} cannot be read: {error}")))
    }

    /// What Kubernetes calls it; `None` where nobody says.
    pub fn name(&self) -> Option<PodName> {
        let Metadata { name, namespace } = self.metadata.as_ref()?;
        PodName::new(namespace, name)
    }

    /// Whose the namespaces are.
    pub fn namespaces(&self) -> Namespaces {
        let security = self.linux.as_ref().and_then(|linux| linux.security.as_ref());
        security.and_then(|security| security.namespaces.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_read_and_nothing_is_the_usual_pod() {
        let linux = Linux {
            cgroup_parent: "/pods".into(),
            security: Some(Security {
                namespaces: Some(Namespaces { pid: Mode::Container.into(), ..Namespaces::default() }),
            }),
            sysctls: [("net.x".to_owned(), "1".to_owned())].into(),
        };
        let metadata = Some(Metadata { name: "web-1".into(), namespace: "shop".into() });
        let config = PodConfig { metadata, hostname: "h".into(), linux: Some(linux), ..PodConfig::default() };
        let any = |url: &str, value: Vec<u8>| Any { type_url: url.into(), value, ..Any::default() };
        for url in [NAME, "type.googleapis.com/runtime.v1.PodSandboxConfig"] {
            assert_eq!(PodConfig::read(Some(&any(url, config.encode_to_vec()))).unwrap(), config);
        }
        assert_eq!(config.namespaces().pid(), Mode::Container);
        assert_eq!(config.name().unwrap().to_string(), "pod shop/web-1");
        assert_eq!(PodConfig::read(None).unwrap().name(), None);
        assert_eq!(PodConfig::read(None).unwrap().namespaces().pid(), Mode::Pod);
    }

    #[test]
    fn what_is_no_pod_is_refused() {
        let refusal = |url: &str, value: &[u8]| {
            let any = Any { type_url: url.into(), value: value.to_vec(), ..Any::default() };
            PodConfig::read(Some(&any)).unwrap_err().to_string()
        };
        assert!(refusal("other.Config", b"").contains("not from a \"other.Config\""));
        assert!(refusal(NAME, b"\xff\xff").contains("cannot be read"));
    }
}
