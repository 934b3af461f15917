//! What can be configured, and where each of them keeps its things.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Where programs are, for systems that do not run.
const PROGRAM_DIRS: [&str; 6] =
    ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/opt/containerd/bin", "/bin"];

/// What can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// containerd by itself.
    Containerd,
    /// Docker, whose daemon names the runtime to its containerd.
    Docker,
    /// k3s, with its own containerd.
    K3s,
    /// RKE2, which is built like k3s.
    Rke2,
    /// k0s, with its own containerd.
    K0s,
    /// MicroK8s, with its own containerd.
    Microk8s,
}

/// All of them.
pub const KINDS: [Kind; 6] = [Kind::Containerd, Kind::Docker, Kind::K3s, Kind::Rke2, Kind::K0s, Kind::Microk8s];

impl Kind {
    /// The kind that is called so.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self> {
        if ["crio", "cri-o"].contains(&name) {
            bail!("CRI-O starts OCI runtimes, not containerd's shims: this runtime cannot be used with it");
        }
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name()).collect();
        match KINDS.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => bail!("--runtime {name} is none of {}", names.join(", ")),
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Docker => "docker",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::K0s => "k0s",
            Self::Microk8s => "microk8s",
        }
    }

    /// Its configuration, unless it is told another.
    pub fn configuration(self) -> &'static Path {
        Path::new(match self {
            Self::Containerd => "/etc/containerd/config.toml",
            Self::Docker => "/etc/docker/daemon.json",
            Self::K3s => "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
            Self::Rke2 => "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
            Self::K0s => "/etc/k0s/containerd.toml",
            Self::Microk8s => "/var/snap/microk8s/current/args/containerd-template.toml",
        })
    }

    /// Where its program may be, the likeliest first.
    pub fn programs(self) -> Vec<PathBuf> {
        let anywhere = |name: &str| PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name)).collect();
        match self {
            Self::Containerd => anywhere("containerd"),
            Self::Docker => anywhere("dockerd"),
            Self::K3s => vec!["/var/lib/rancher/k3s/data/current/bin/containerd".into()],
            Self::Rke2 => vec!["/var/lib/rancher/rke2/bin/containerd".into()],
            Self::K0s => vec!["/var/lib/k0s/bin/containerd".into()],
            Self::Microk8s => vec!["/snap/microk8s/current/bin/containerd".into()],
        }
    }

    /// What tells that it is installed, beside its configuration and its program.
    pub fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Containerd | Self::Docker => &[],
            Self::K3s => &["/var/lib/rancher/k3s", "/usr/local/bin/k3s", "/etc/rancher/k3s"],
            Self::Rke2 => &["/var/lib/rancher/rke2", "/usr/local/bin/rke2", "/etc/rancher/rke2"],
            Self::K0s => &["/var/lib/k0s", "/etc/k0s", "/usr/local/bin/k0s"],
            Self::Microk8s => &["/var/snap/microk8s/current"],
        }
    }
}
