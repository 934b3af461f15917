//! Starting the engine host: once per node and engine version, by whichever shim needs it first.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::{
        fd::AsRawFd,
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use tokio::{
    io::AsyncReadExt,
    process::{ChildStdout, Command},
    time::{Instant, sleep, timeout},
};
use wasmedge_shim_protocol::{Channel, Error as ChannelError, Location, Pidfd, check_peer, ensure_private_dir};

use super::{
    TTRPC_ADDRESS,
    source::{DEFAULT_PATH, Others, Source},
};
use crate::limits;

/// How long a host may take until it serves; loading libwasmedge and libLLVM from a cold disk takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a host that is killed may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// How many starts of a host may be cut short before it is given up.
const KILLED_STARTS: usize = 10;

/// Each start of a host was cut short.
#[derive(Debug, thiserror::Error)]
#[error("the engine {} was killed while it started, {KILLED_STARTS} times", .0.display())]
pub struct KilledAtStart(PathBuf);

/// Finds and starts the host.
#[derive(Debug, Clone)]
pub struct Launcher {
    location: Location,
    source: Source,
}

impl Launcher {
    /// For an engine.
    pub fn new(source: Source) -> Self {
        Self { location: Location::default(), source }
    }

    /// Where the host of the engine listens, which must be there.
    fn socket(&self) -> Result<PathBuf> {
        let engine = self.source.engine()?;
        self.location.socket(&engine).with_context(|| format!("cannot use the engine {}", engine.display()))
    }

    /// The same, if there is one that listens, if only a stopped one: another must not take its place.
    fn served(&self) -> Option<PathBuf> {
        self.socket().ok().filter(|socket| !matches!(Channel::open(socket, super::PROGRAM), Err(ChannelError::Io(_))))
    }

    /// A channel to the running host, where a hello was sent.
    pub fn open(&self) -> Result<Channel> {
        Ok(Channel::open(&self.socket()?, super::PROGRAM)?)
    }

    /// The same for a process that has no runtime, and that is what is installed; starts a host unless one runs.
    pub fn connect(&self) -> Result<Channel> {
        match self.socket().map(|socket| Channel::open(&socket, super::PROGRAM)) {
            Err(_) | Ok(Err(ChannelError::Io(_))) => {}
            Ok(opened) => return Ok(opened?),
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.ensure_running(Others::Remove))?;
        self.open()
    }

    /// Starts a host unless one runs.
    pub async fn ensure_running(&self, others: Others) -> Result<()> {
        if self.served().is_some() {
            return Ok(());
        }
        ensure_private_dir(self.location.root())
            .with_context(|| format!("cannot use {}", self.location.root().display()))?;
        let lock = lock(&self.location.lock()).await?;
        // Somebody else may have started it while this process waited for the lock.
        if self.served().is_some() {
            return Ok(());
        }
        // Held until the host holds it.
        let source = self.source.clone();
        let _held = tokio::task::spawn_blocking(move || source.prepare(others)).await??;
        self.start(&self.socket()?, &lock).await
    }

    /// Starts a host. One that ends without a word was killed from outside, and is started again.
    async fn start(&self, socket: &Path, lock: &File) -> Result<()> {
        for _ in 0..KILLED_STARTS {
            if self.start_once(socket, lock, START_TIMEOUT).await? {
                return Ok(());
            }
        }
        Err(KilledAtStart(self.source.engine()?).into())
    }

    /// Starts a host; `false` if it ended without a word.
    async fn start_once(&self, socket: &Path, lock: &File, patience: Duration) -> Result<bool> {
        let engine = self.source.engine()?;
        let log_path = self.location.log();
        let mut log = OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(&log_path)?;
        let before = log.seek(SeekFrom::End(0))?;
        let command = self.command(&engine, socket, lock, &log)?;
        let mut child =
            Command::from(command).spawn().with_context(|| format!("cannot start the engine {}", engine.display()))?;
        let mut stdout = child.stdout.take().context("the engine has no standard output")?;
        let mut answer = String::new();
        let waited = timeout(patience, stdout.read_to_string(&mut answer)).await;
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
                end_writers(&mut stdout).await?;
                bail!("the engine {} was not ready after {patience:?}; see {}", engine.display(), log_path.display())
            }
        }
    }

    fn command(&self, engine: &Path, socket: &Path, lock: &File, log: &File) -> io::Result<std::process::Command> {
        let mut command = std::process::Command::new(engine);
        command
            .args(["host".as_ref(), "--socket".as_ref(), socket.as_os_str(), "--engine".as_ref(), engine.as_os_str()])
            .env_clear()
            .env("PATH", DEFAULT_PATH)
            .envs(self.source.environment())
            .envs(containerd().map(|pid| ("WASMEDGE_ENGINE_BESIDE", pid.to_string())))
            .envs(std::env::vars_os().filter(|(name, _)| name == "RUST_LOG"))
            .current_dir("/")
            // Should this process be killed, the host still holds the lock until it serves, and nobody starts another.
            .stdin(lock.try_clone()?)
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .process_group(0);
        limits::give_back(&mut command);
        Ok(command)
    }
}

/// Kills the processes at the other end of a host's standard output, and waits until they are gone: by now the host is
/// no child of this process, nor in its child's group.
async fn end_writers(pipe: &mut ChildStdout) -> Result<()> {
    let name = fs::read_link(format!("/proc/self/fd/{}", pipe.as_raw_fd()))?;
    let processes = || fs::read_dir("/proc").into_iter().flatten().flatten();
    let ended = async {
        loop {
            for process in processes().map(|entry| entry.path()) {
                let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
                // First of all the descriptor, so that what is looked at is what is killed.
                if let Some(Ok(handle)) = pid.map(Pidfd::open)
                    && fs::read_link(process.join("fd/1")).is_ok_and(|target| target == name)
                {
                    // It may have ended by now.
                    let _ = handle.send_signal(libc::SIGKILL);
                }
            }
            if timeout(KILL_TIMEOUT / 50, pipe.read_to_end(&mut Vec::new())).await.is_ok() {
                return;
            }
        }
    };
    timeout(KILL_TIMEOUT, ended).await.context("an engine host that was not ready in time cannot be killed")
}

/// containerd's process id. The host belongs in its cgroup, as the shims do: the shim that starts it may be in a
/// pod's (`ShimCgroup`), with which the host must not be limited, counted or killed.
fn containerd() -> Option<i32> {
    let address = std::env::var(TTRPC_ADDRESS).ok()?;
    let stream = std::os::unix::net::UnixStream::connect(address.trim_start_matches("unix://")).ok()?;
    check_peer(&stream).ok().map(|peer| peer.pid).filter(|pid| *pid > 0)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A launcher of an engine that is a shell script.
    fn launcher(directory: &Path, script: &str) -> Launcher {
        let engine = directory.join("engine");
        fs::write(&engine, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
        Launcher { location: Location::new(directory), source: Source::Named(engine) }
    }

    /// Regression test for C14: the host is no child of its starter by the time that it is slow.
    #[tokio::test(flavor = "current_thread")]
    async fn a_host_that_is_slow_is_killed_wherever_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let pid = directory.path().join("pid");
        let detached = format!("setsid sh -c 'echo $$ > {}; exec sleep 600' &", pid.display());
        let launcher = launcher(directory.path(), &detached);
        let held = lock(&launcher.location.lock()).await.unwrap();
        let started = launcher.start_once(&directory.path().join("socket"), &held, Duration::from_secs(1)).await;
        let error = started.unwrap_err().to_string();
        assert!(error.contains("was not ready after 1s; see "), "{error}");
        let pid = fs::read_to_string(pid).unwrap();
        let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let ended = |state: &str| state.is_empty() || state.contains(") Z ");
        // It has let go of its files already, which is what is waited for; a moment may be left until its end.
        for _ in 0..500 {
            if ended(&state()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{}", state());
    }

    /// Regression test for C14: a second host would take the first one's socket, and neither would ever end.
    #[tokio::test(flavor = "current_thread")]
    async fn a_host_that_is_not_ready_holds_the_lock_when_its_starter_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let launcher = launcher(directory.path(), "exec sleep 600");
        let path = launcher.location.lock();
        let held = lock(&path).await.unwrap();
        let log = File::create(launcher.location.log()).unwrap();
        let engine = launcher.source.engine().unwrap();
        let mut host =
            launcher.command(&engine, &directory.path().join("socket"), &held, &log).unwrap().spawn().unwrap();
        // As a process that is killed lets go of it: without unlocking.
        let held = std::mem::ManuallyDrop::new(held);
        // SAFETY: nobody uses the descriptor any more.
        unsafe { libc::close(held.as_raw_fd()) };
        let attempt = || Flock::lock(File::open(&path).unwrap(), FlockArg::LockExclusiveNonblock);
        assert!(attempt().is_err());
        host.kill().unwrap();
        host.wait().unwrap();
        assert!(attempt().is_ok());
    }
}
