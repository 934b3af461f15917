//! What a container shares with its pod where the pod has no container of its own: its shim holds that.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The shared parts of a pod. The spec of each of its containers names them as those of a process, which there is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The process by which specs name the pod's namespaces: `/proc/PID/ns/KIND`. 0 where the pod has none.
    pub pid: u32,
    /// The pod's own namespaces. Of the kinds that are not here it has the node's.
    pub namespaces: Vec<PodNamespace>,
    /// Files that the containers see, where their specs have nothing in the same place.
    pub files: Vec<PodFile>,
    /// The pod's annotations `io.wasmedge.*`.
    pub annotations: BTreeMap<String, String>,
}

/// A namespace of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNamespace {
    /// What it is of.
    pub kind: NamespaceKind,
    /// A path by which it can be opened on the node, while the shim lives.
    pub path: PathBuf,
}

/// The kinds of namespaces that containers of a pod may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceKind {
    /// Network.
    Net,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// Users and groups.
    User,
    /// Processes.
    Pid,
}

impl NamespaceKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Net, Self::Ipc, Self::Uts, Self::User, Self::Pid];

    /// Its name in `/proc/PID/ns` (namespaces(7)).
    pub fn name(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Pid => "pid",
        }
    }
}

/// A file or directory of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFile {
    /// Where it is on the node.
    pub source: PathBuf,
    /// Where containers see it.
    pub destination: PathBuf,
}
