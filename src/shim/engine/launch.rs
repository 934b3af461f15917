//! Starting the engine host: once per node and engine version, by whichever shim needs it first.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::{
    io::AsyncReadExt,
    process::Command,
    time::{Instant, sleep, timeout},
};
use wasmedge_shim_protocol::{Channel, Location, check_peer, ensure_private_dir};

use super::TTRPC_ADDRESS;

/// The engine's file name.
const ENGINE: &str = "wasmedge-engine";

/// File in the bundle with the path of an engine that the runtime options name.
const REMEMBERED: &str = "wasmedge-engine-path";

/// How long a host may take until it serves; loading libwasmedge and libLLVM from a cold disk takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How many starts of a host may be cut short before it is given up.
const KILLED_STARTS: usize = 10;

/// The search path of a process without `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Finds and starts the host.
#[derive(Debug, Clone)]
pub struct Launcher {
    location: Location,
    engine: Option<PathBuf>,
}

impl Launcher {
    /// For the engine at `engine`, or else beside this program, or else in `PATH`.
    pub fn new(engine: Option<PathBuf>) -> Self {
        Self { location: Location::default(), engine }
    }

    /// For the engine that `start` was told of in this bundle, in which containerd runs every action.
    pub fn remembered() -> Self {
        Self::new(std::fs::read_to_string(REMEMBERED).ok().map(PathBuf::from))
    }

    /// Lets the later actions in this bundle find the same engine.
    pub fn remember(&self) -> io::Result<()> {
        self.engine.as_ref().map_or(Ok(()), |engine| std::fs::write(REMEMBERED, engine.as_os_str().as_encoded_bytes()))
    }

    /// Where the host of the installed engine listens.
    ///
    /// # Errors
    /// Names the places where no engine was found.
    pub fn socket(&self) -> Result<PathBuf> {
        let engine = self.engine()?;
        self.location.socket(&engine).with_context(|| format!("cannot use the engine {}", engine.display()))
    }

    /// A channel to the running host, where a hello was sent.
    pub fn open(&self) -> Result<Channel> {
        Ok(Channel::open(&self.socket()?, super::PROGRAM)?)
    }

    /// The same for a process that has no runtime; starts a host unless one runs.
    pub fn connect(&self) -> Result<Channel> {
        let socket = self.socket()?;
        if let Ok(channel) = Channel::open(&socket, super::PROGRAM) {
            return Ok(channel);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.ensure_running())?;
        self.open()
    }

    /// Starts a host unless one runs.
    pub async fn ensure_running(&self) -> Result<()> {
        let socket = self.socket()?;
        if is_served(&socket) {
            return Ok(());
        }
        ensure_private_dir(self.location.root())
            .with_context(|| format!("cannot use {}", self.location.root().display()))?;
        let _lock = lock(&self.location.lock()).await?;
        // Somebody else may have started it while this process waited for the lock.
        if is_served(&socket) {
            return Ok(());
        }
        self.start(&socket).await
    }

    fn engine(&self) -> Result<PathBuf> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let own = std::env::current_exe().context("cannot find this program's own path")?;
        let beside = own.with_file_name(ENGINE);
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let found = [beside.clone()].into_iter().chain(std::env::split_paths(&path).map(|dir| dir.join(ENGINE)));
        found
            .into_iter()
            .find(|candidate| candidate.is_file())
            .with_context(|| format!("{ENGINE} is neither at {} nor in PATH", beside.display()))
    }

    /// Starts a host. One that ends without a word was killed from outside, and is started again.
    async fn start(&self, socket: &Path) -> Result<()> {
        for _ in 0..KILLED_STARTS {
            if self.start_once(socket).await? {
                return Ok(());
            }
        }
        bail!("the engine {} was killed while it started, {KILLED_STARTS} times", self.engine()?.display())
    }

    /// Starts a host; `false` if it ended without a word.
    async fn start_once(&self, socket: &Path) -> Result<bool> {
        let engine = self.engine()?;
        let log_path = self.location.log();
        let mut log = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&log_path)?;
        let before = log.seek(SeekFrom::End(0))?;
        let mut command = std::process::Command::new(&engine);
        command
            .args(["host".as_ref(), "--socket".as_ref(), socket.as_os_str(), "--engine".as_ref(), engine.as_os_str()])
            .env_clear()
            .env("PATH", DEFAULT_PATH)
            .envs(containerd().map(|pid| ("WASMEDGE_ENGINE_BESIDE", pid.to_string())))
            .envs(std::env::vars_os().filter(|(name, _)| name == "RUST_LOG"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .process_group(0);
        let mut child =
            Command::from(command).spawn().with_context(|| format!("cannot start the engine {}", engine.display()))?;
        let mut stdout = child.stdout.take().context("the engine has no standard output")?;
        let mut answer = String::new();
        let waited = timeout(START_TIMEOUT, stdout.read_to_string(&mut answer)).await;
        match waited {
            Ok(Ok(_)) if answer == "ready\n" => {
                child.wait().await?;
                Ok(true)
            }
            Ok(_) => match last_line(&mut log, before) {
                Some(cause) => bail!("the engine {} did not start: {cause}", engine.display()),
                None => Ok(false),
            },
            Err(_) => {
                child.start_kill()?;
                bail!(
                    "the engine {} was not ready after {START_TIMEOUT:?}; see {}",
                    engine.display(),
                    log_path.display()
                )
            }
        }
    }
}

/// containerd's process id. The host belongs in its cgroup, as the shims do: the shim that starts it may be in a
/// pod's (`ShimCgroup`), with which the host must not be limited, counted or killed.
fn containerd() -> Option<i32> {
    let address = std::env::var(TTRPC_ADDRESS).ok()?;
    let stream = std::os::unix::net::UnixStream::connect(address.trim_start_matches("unix://")).ok()?;
    check_peer(&stream).ok().map(|peer| peer.pid).filter(|pid| *pid > 0)
}

/// Whether a host listens at `socket`.
fn is_served(socket: &Path) -> bool {
    Channel::open(socket, super::PROGRAM).is_ok()
}

/// Takes the lock that serialises starts.
async fn lock(path: &Path) -> Result<Flock<File>> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((file, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, errno)) => bail!("cannot lock {}: {}", path.display(), io::Error::from(errno)),
        };
        sleep(Duration::from_millis(2)).await;
    }
}

/// The last line that was written to the log after `start`: the dynamic linker's or the engine's own complaint.
fn last_line(log: &mut File, start: u64) -> Option<String> {
    let mut text = String::new();
    log.seek(SeekFrom::Start(start)).and_then(|_| log.read_to_string(&mut text)).ok()?;
    text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}
