//! Requests per second of an HTTP server, the same source as a module and as a Linux program.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::container::{Container, Recipe};
use crate::containerd::Containerd;
use crate::interrupt;
use crate::load;
use crate::options::Options;
use crate::proc;
use crate::subject::Subject;
use crate::sweep;

/// What a server may take to listen, its compilation included.
const READY: Duration = Duration::from_secs(60);

/// Load before the first round, so that every page has been touched.
const WARMUP: Duration = Duration::from_millis(500);

/// No step of a server takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

/// The rounds of one subject's server with so many connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Http {
    pub subject: Subject,
    pub connections: usize,
    pub rounds: Vec<Round>,
}

/// One round.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Round {
    pub requests: u64,
    pub seconds: f64,
    /// Processor time of the server, in seconds: what counts where the client is what holds things up.
    pub server: f64,
}

impl Round {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Microseconds of the server's processor time for a request.
    pub fn cost(&self) -> f64 {
        self.server / self.requests as f64 * 1e6
    }
}

/// A server that runs.
struct Server<'a> {
    subject: Subject,
    container: Container<'a>,
    pid: u32,
    port: u16,
}

/// Starts a server of each subject, and loads them in turns.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Http>> {
    let mut servers = Vec::new();
    for recipe in recipes {
        let start = Server::start(containerd, &recipe.subject);
        let what = || format!("{}, the HTTP server", recipe.subject.label);
        servers.push(tokio::time::timeout(HANGS + READY, start).await.with_context(what)?.with_context(what)?);
    }
    let mut results = Vec::new();
    for &connections in &options.connections {
        let new = |server: &Server| Http { subject: server.subject.clone(), connections, rounds: Vec::new() };
        let mut level: Vec<_> = servers.iter().map(new).collect();
        for round in 0..options.rounds {
            for turn in 0..servers.len() {
                let index = (round + turn) % servers.len();
                level[index].rounds.push(servers[index].round(connections, options.round).await?);
            }
        }
        results.extend(level);
    }
    for server in servers {
        tokio::time::timeout(HANGS, server.stop()).await.context("an HTTP server does not stop")??;
    }
    Ok(results)
}

impl<'a> Server<'a> {
    async fn start(containerd: &'a Containerd, subject: &Subject) -> Result<Self> {
        interrupt::check()?;
        let port = free_port()?;
        let program = if subject.is_wasm() { "/http.wasm" } else { "/http" };
        let mut subject = subject.with_task("bench", [program.to_owned(), port.to_string()]);
        if subject.compiles() {
            subject = subject.with_annotation("io.wasmedge.aot", "require");
        }
        (subject.host_network, subject.seccomp) = (true, true);
        let recipe = Recipe::new(containerd, subject.clone()).await?;
        let container = Container::prepare(containerd, &recipe, sweep::new_id()).await?;
        let pid = container.create().await?;
        container.start().await?;
        let end = Instant::now() + READY;
        while let Err(error) = load::load(port, 1, Duration::from_millis(1)).await {
            ensure!(Instant::now() < end, "not ready after {READY:?}: {error:#}");
            interrupt::sleep(Duration::from_millis(20)).await?;
        }
        load::load(port, 4, WARMUP).await?;
        Ok(Self { subject, container, pid, port })
    }

    async fn round(&self, connections: usize, time: Duration) -> Result<Round> {
        interrupt::check()?;
        let before = proc::processor_time(self.pid)?;
        let what = || format!("{}, the HTTP server", self.subject.label);
        let (requests, seconds) = load::load(self.port, connections, time).await.with_context(what)?;
        let server = (proc::processor_time(self.pid)? - before).as_secs_f64();
        Ok(Round { requests, seconds, server })
    }

    async fn stop(self) -> Result<()> {
        tokio::try_join!(self.container.wait(), self.container.kill(Signal::SIGKILL))?;
        self.container.delete().await?;
        self.container.remove().await?;
        Ok(())
    }
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}
