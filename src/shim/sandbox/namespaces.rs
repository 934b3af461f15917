//! The namespaces of a pod: made by one thread or process that ends right after, and held by descriptors.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    thread,
};

use anyhow::{Context, Result, anyhow};
use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::sethostname,
};
use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::{NamespaceKind, PodNamespace};

use super::{
    config::{Mapping, Mode, PodConfig},
    files,
    maker::{self, Init},
    parameters::{self, Own},
};

/// Open namespaces.
pub type Namespaces = Vec<(NamespaceKind, OwnedFd)>;

/// Which namespaces a pod is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its network, which containerd has made; `None` for the node's.
    pub net: Option<PathBuf>,
    /// IPC of its own.
    pub ipc: bool,
    /// Its own host name; `None` for the node's, with the node's network.
    pub hostname: Option<String>,
    /// Users of its own.
    pub user: Option<Users>,
    /// One pid namespace for all its containers.
    pub pid: bool,
    /// Kernel parameters: files below `/proc/sys`, and what is in them.
    pub parameters: Vec<(String, String)>,
}

/// The mappings of a user namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// Of users.
    pub uids: Vec<Mapping>,
    /// Of groups.
    pub gids: Vec<Mapping>,
}

impl Wanted {
    /// For the pod of `config`, whose network is at `netns`, where it has one.
    ///
    /// # Errors
    /// Says what cannot be had.
    pub fn of(config: &PodConfig, netns: &str) -> Result<Self> {
        let namespaces = config.namespaces();
        let net = (namespaces.network() != Mode::Node && !netns.is_empty()).then(|| PathBuf::from(netns));
        let user = namespaces.user.as_ref().filter(|user| user.mode() == Mode::Pod);
        let user = user.map(|user| Users { uids: user.uids.clone(), gids: user.gids.clone() });
        let ipc = namespaces.ipc() != Mode::Node;
        let asked = config.linux.as_ref().map(|linux| linux.sysctls.clone()).unwrap_or_default();
        let own = Own { net: net.is_some(), ipc, user: user.is_some() };
        Ok(Self {
            hostname: net.is_some().then(|| files::hostname(config)).transpose()?,
            parameters: parameters::of_pod(&asked, own).map_err(|error| anyhow!(error))?,
            net,
            ipc,
            user,
            pid: namespaces.pid() == Mode::Pod,
        })
    }

    /// The user and group of the node that are root in the pod.
    pub fn owner(&self) -> (u32, u32) {
        let root =
            |mappings: &[Mapping]| mappings.iter().find(|one| one.container_id == 0).map_or(0, |one| one.host_id);
        self.user.as_ref().map_or((0, 0), |user| (root(&user.uids), root(&user.gids)))
    }

    /// What the calling thread leaves, as flags of unshare(2): not its users.
    fn flags(&self) -> CloneFlags {
        let flag = |wanted, flag| if wanted { flag } else { CloneFlags::empty() };
        flag(self.ipc, CloneFlags::CLONE_NEWIPC)
            | flag(self.hostname.is_some(), CloneFlags::CLONE_NEWUTS)
            | flag(self.pid, CloneFlags::CLONE_NEWPID)
    }

    /// Puts the calling thread into the pod's namespaces, and its next child into the pod's pid namespace. It is in the pod's
    /// user namespace already.
    pub fn enter(&self) -> Result<()> {
        if let Some(path) = &self.net {
            let failed = || format!("cannot enter the pod's network {}", path.display());
            setns(File::open(path).with_context(failed)?, CloneFlags::CLONE_NEWNET).with_context(failed)?;
        }
        unshare(self.flags()).context("the kernel gives no namespaces")?;
        if let Some(name) = &self.hostname {
            sethostname(name).with_context(|| format!("cannot set the host name {name:?}"))?;
        }
        Ok(parameters::set(&self.parameters)?)
    }

    /// The kinds that a thread in the pod's namespaces has of its own.
    fn kinds(&self) -> Vec<NamespaceKind> {
        let own = |kind| match kind {
            NamespaceKind::Net => self.net.is_some(),
            NamespaceKind::Ipc => self.ipc,
            NamespaceKind::Uts => self.hostname.is_some(),
            NamespaceKind::User => self.user.is_some(),
            // A process that makes one is not in it.
            NamespaceKind::Pid => false,
        };
        NamespaceKind::ALL.into_iter().filter(|kind| own(*kind)).collect()
    }

    /// Opens the namespaces of the thread or process that is `/proc/WHO`.
    pub fn open(&self, who: &str) -> Result<Namespaces> {
        let open = |kind: NamespaceKind| Ok((kind, open(who, kind)?));
        self.kinds().into_iter().map(open).collect()
    }
}

/// Opens one namespace of the process that is `/proc/WHO`.
pub fn open(who: &str, kind: NamespaceKind) -> Result<OwnedFd> {
    let path = format!("/proc/{who}/ns/{}", kind.name());
    Ok(File::open(&path).with_context(|| format!("cannot open {path}"))?.into())
}

/// The namespaces of a pod, which are there as long as this, or a process in them.
pub struct Held {
    namespaces: Namespaces,
    init: Option<Init>,
}

impl Held {
    /// Makes what is wanted.
    ///
    /// A thread is enough, and costs no process, unless users are the pod's own, which a process with other threads cannot
    /// enter (setns(2)), or processes are shared, which need one that is the first.
    ///
    /// # Errors
    /// Says what cannot be had; nothing is left then.
    pub fn make(wanted: Wanted) -> Result<Self> {
        if wanted.user.is_some() || wanted.pid {
            let (namespaces, init) = maker::make(&wanted)?;
            return Ok(Self { namespaces, init });
        }
        let thread = thread::Builder::new().name("namespaces".into()).stack_size(64 << 10);
        let made = thread.spawn(move || wanted.enter().and_then(|()| wanted.open("thread-self")))?.join();
        let namespaces = made.map_err(|_| anyhow!("the thread that makes namespaces has failed"))??;
        Ok(Self { namespaces, init: None })
    }

    /// The first process of the pod's pid namespace, where its containers share one.
    pub fn init(&self) -> Option<&Init> {
        self.init.as_ref()
    }

    /// What containers join, by paths that are good while this lives.
    pub fn for_containers(&self) -> Vec<PodNamespace> {
        let path = |fd: &OwnedFd| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()).into();
        self.namespaces.iter().map(|(kind, fd)| PodNamespace { kind: *kind, path: path(fd) }).collect()
    }
}

/// Reads from `fd` to the end: nobody writes, so it is the end of who could.
pub fn wait_for_end(fd: impl AsFd) -> io::Result<()> {
    loop {
        match nix::unistd::read(&fd, &mut [0; 16]) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::config::{Linux, Namespaces, Security, UserNamespace};

    fn config(namespaces: Namespaces) -> PodConfig {
        let security = Some(Security { namespaces: Some(namespaces) });
        PodConfig {
            hostname: "pod".into(),
            linux: Some(Linux { security, ..Linux::default() }),
            ..PodConfig::default()
        }
    }

    #[test]
    fn a_pod_has_the_namespaces_that_are_not_the_node_s() {
        let usual = Wanted::of(&config(Namespaces::default()), "/net").unwrap();
        assert_eq!(usual.kinds(), [NamespaceKind::Net, NamespaceKind::Ipc, NamespaceKind::Uts]);
        assert!(usual.pid && usual.user.is_none());
        assert_eq!((usual.hostname.as_deref(), usual.owner()), (Some("pod"), (0, 0)));
        let node = Mode::Node.into();
        let of_node = Namespaces { network: node, pid: node, ipc: node, user: None };
        let none = Wanted::of(&config(of_node), "").unwrap();
        assert_eq!(none.kinds(), []);
        assert_eq!(none.flags(), CloneFlags::empty());
        assert_eq!((none.hostname, none.parameters), (None, vec![]));
    }

    #[test]
    fn root_of_the_pod_is_the_user_that_its_mapping_says() {
        let mapping = |container_id, host_id| Mapping { host_id, container_id, length: 65536 };
        let uids = vec![mapping(65536, 1), mapping(0, 100_000)];
        let user = Some(UserNamespace { mode: Mode::Pod.into(), uids, gids: vec![mapping(0, 200_000)] });
        let wanted = Wanted::of(&config(Namespaces { user, ..Namespaces::default() }), "/net").unwrap();
        assert_eq!(wanted.owner(), (100_000, 200_000));
        assert!(wanted.kinds().contains(&NamespaceKind::User));
    }

    #[test]
    fn parameters_of_the_node_s_namespaces_are_refused() {
        let mut config = config(Namespaces { network: Mode::Node.into(), ..Namespaces::default() });
        let sysctls = [("net.core.somaxconn".to_owned(), "1".to_owned())].into();
        config.linux.as_mut().unwrap().sysctls = sysctls;
        let error = Wanted::of(&config, "").unwrap_err().to_string();
        assert!(error.contains("net.core.somaxconn"), "{error}");
    }
}
