//! The messages. Paths are those of the host's mount namespace, which is containerd's too.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Aot, Engine, Export, Failure, FurtherOptions, Hello, Plugins, further::absent_is_default};

/// What the shim sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToHost {
    /// Opens the conversation.
    Hello(Hello),
    /// A request; `id` comes back in the reply.
    Request {
        /// Chosen by the client, unique on the connection.
        id: u64,
        /// What to do.
        request: Request,
    },
    /// Asks for a [`FromHost::Pong`], which the host sends at once: it does nothing that blocks.
    Ping,
}

/// What the host sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHost {
    /// Answer to the client's hello.
    Hello(Hello),
    /// The outcome of the request with the same `id`.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// A process that this connection asked for ended.
    Exited(Exit),
    /// Answer to [`ToHost::Ping`].
    Pong,
    /// As [`Self::Exited`], of a process that said of itself that it failed for want of memory: its status is sent with
    /// [`ExitStatus::out_of_memory`] unset. Since version 7.
    ExitedOutOfMemory(Exit),
}

/// A reply or the reason why there is none.
pub type Outcome = std::result::Result<Reply, Failure>;

/// Names a container on this node: containerd's ids are unique per namespace only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerKey {
    /// containerd's namespace, such as `moby`, `k8s.io` or `default`.
    pub namespace: String,
    /// The container's id.
    pub id: String,
}

impl fmt::Display for ContainerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// The things a shim can ask of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Make the container, up to the point where only its entrypoint is left to run. The file descriptors of its
    /// stdio come with the message, see [`StdioPresence`].
    Create(Box<Create>),
    /// Run the entrypoint of a created container.
    Start(ContainerKey),
    /// Run another program in a container. The first file descriptor with the message holds the program's
    /// description, an OCI `process` object in JSON, which may be larger than a message; those of its stdio follow.
    Exec(Exec),
    /// Change a container's resources.
    Update(Update),
    /// Remove a container and everything that was made for it: processes (killed if they still run), cgroups, state.
    /// Also for a container that this host never saw or whose creation was cut short.
    Delete {
        /// The container.
        key: ContainerKey,
        /// Its shim is gone: the containers that it made are nobody's, and go as well.
        with_siblings: bool,
    },
    /// Tell of the host itself. Since version 8.
    Report,
    /// Send a span to whoever collects them, with those that the host knows of; answered before that is done. Since version 8.
    Export(Box<Export>),
}

/// Everything needed to make a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// The container's name.
    pub key: ContainerKey,
    /// The OCI bundle: a directory with `config.json`.
    pub bundle: PathBuf,
    /// Mounts that make up the root filesystem, to be mounted on `<bundle>/rootfs` in this order.
    pub rootfs: Vec<RootfsMount>,
    /// Which stdio file descriptors came with the message.
    pub stdio: StdioPresence,
    /// The process gets a terminal instead, whose master comes with the reply.
    pub terminal: bool,
    /// How to build the sandbox.
    pub options: SandboxOptions,
    /// The socket of containerd's API, for what is in the image and not in its root filesystem; empty where it is not
    /// known.
    pub containerd: PathBuf,
    /// Options that shims of before do not send.
    #[serde(deserialize_with = "absent_is_default")]
    pub further: FurtherOptions,
}

/// Everything but the program itself that is needed to run another program in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The container.
    pub key: ContainerKey,
    /// Which stdio file descriptors came with the message.
    pub stdio: StdioPresence,
    /// The process gets a terminal instead, whose master comes with the reply.
    pub terminal: bool,
}

/// New resources of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The container.
    pub key: ContainerKey,
    /// An OCI `resources` object in JSON. What it does not mention stays as it is.
    pub resources: Vec<u8>,
}

/// One mount of a root filesystem, as containerd's snapshotter describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootfsMount {
    /// Filesystem type, such as `overlay` or `bind`.
    pub fstype: String,
    /// Source of the mount.
    pub source: String,
    /// Path below the root filesystem where it goes; empty for the root itself.
    pub target: String,
    /// fstab-style options.
    pub options: Vec<String>,
}

/// The file descriptors that accompany [`Create`] and [`Exec`], in this order. One that is absent is `/dev/null`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StdioPresence {
    /// The first descriptor is the process's standard input.
    pub stdin: bool,
    /// The next one is its standard output.
    pub stdout: bool,
    /// The next one is its standard error.
    pub stderr: bool,
}

impl StdioPresence {
    /// Number of descriptors that come with the message.
    pub fn count(self) -> usize {
        [self.stdin, self.stdout, self.stderr].into_iter().filter(|present| *present).count()
    }
}

/// Runtime options that shape the sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxOptions {
    /// cgroups are made by systemd, `cgroupsPath` is `slice:prefix:name`.
    pub systemd_cgroup: bool,
    /// Do not use pivot_root (for a root on a ramdisk).
    pub no_pivot_root: bool,
    /// How modules get native code, unless the container says otherwise.
    pub aot: Aot,
    /// What modules have of WasmEdge's abilities, unless the container says otherwise.
    pub engine: Engine,
    /// The plugins that modules have, unless the container names fewer.
    pub plugins: Plugins,
}

/// Positive answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The container exists. Its pidfd comes with the message, and then the master of its terminal if it has one.
    Created(Created),
    /// The entrypoint runs.
    Started,
    /// The other program runs, as the process with this id in the host's pid namespace. The file descriptors are
    /// those of [`Reply::Created`].
    Executed(u32),
    /// The container has the new resources.
    Updated,
    /// Nothing is left of it.
    Deleted(Deleted),
    /// What the host tells of itself, as JSON: people's affair, and not the shim's. Nothing where spans are sent.
    Reported(String),
}

/// A created container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The init's process id, in the host's pid namespace.
    pub pid: u32,
    /// The container's cgroup directories: one per hierarchy on cgroup v1, a single one on v2.
    pub cgroups: Vec<PathBuf>,
    /// Hooks are due at its start, which takes a while.
    pub late_hooks: bool,
}

/// A deleted container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Its init's process id, 0 where it never had one.
    pub pid: u32,
    /// How its init ended, where that is known.
    pub status: Option<ExitStatus>,
}

/// The end of a container's init, or of another program that was run in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Which container.
    pub key: ContainerKey,
    /// The process's id.
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// The exit code, or 128 plus the signal's number.
    pub code: u32,
    /// When, in nanoseconds since the Unix epoch.
    pub at_unix_nanos: u64,
    /// Whether it was for want of memory, as the process itself said: the container's limit refused memory to a module, which
    /// failed then. What the kernel kills says nothing. Not part of the messages, see [`FromHost::ExitedOutOfMemory`].
    #[serde(skip)]
    pub out_of_memory: bool,
}

impl ExitStatus {
    /// The status `code` at the current time.
    pub fn now(code: u32) -> Self {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let at_unix_nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
        Self { code, at_unix_nanos, out_of_memory: false }
    }
}
