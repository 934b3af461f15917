//! What containers cost that do nothing, and whether they still answer when there are many.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use futures::stream;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::container::{Container, Recipe};
use crate::containerd::Containerd;
use crate::interrupt;
use crate::machine;
use crate::options::Options;
use crate::proc::{self, Memory};
use crate::subject::Subject;
use crate::sweep;

/// No step of a container that sleeps takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

/// How long a container may take to heed a signal.
const HEEDS: Duration = Duration::from_secs(20);

/// Requests at a time, where many containers are asked for something.
const AT_A_TIME: usize = 8;

/// containerd's shims, runc's among them, serve all containers that have the same value here.
const POD: &str = "io.kubernetes.cri.sandbox-id";

/// So many sleeping containers of one subject; a host serves several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    pub subject: Subject,
    pub containers: usize,
    /// Whether they are one pod, with one shim.
    pub pod: bool,
    pub shims: Vec<Memory>,
    pub inits: Vec<Memory>,
    /// Engine hosts that these containers were forked from.
    pub hosts: Vec<Memory>,
    /// How many ran another program when asked to.
    pub answered: usize,
    /// How many ended by SIGTERM; none is asked to that would not, as a Linux init without a handler.
    pub stopped: Option<usize>,
}

impl Idle {
    /// PSS of all processes in bytes, divided by the number of containers.
    pub fn pss_per_container(&self) -> u64 {
        let all = self.shims.iter().chain(&self.inits).chain(&self.hosts);
        all.map(|memory| memory.pss).sum::<u64>() / self.containers as u64
    }
}

/// Measures each number of containers, one subject after the other, and then each size of a pod. What the machine has no
/// memory for is left out, and said.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Idle>> {
    let mut results: Vec<Idle> = Vec::new();
    let alone = options.containers.iter().map(|count| (*count, false));
    for (containers, pod) in alone.chain(options.pods.iter().map(|count| (*count, true))) {
        for recipe in recipes {
            let sleeper = Recipe::new(containerd, recipe.subject.sleeper()).await?;
            let what = format!("{}, {containers} sleeping containers", sleeper.subject.label);
            let known = results.iter().rfind(|result| result.subject == sleeper.subject);
            let expected = known.map_or(0, Idle::pss_per_container) * containers as u64;
            if expected > machine::free_memory()? / 4 * 3 {
                eprintln!("bench: {what} are left out: they would take {} MB", expected / 1_000_000);
                continue;
            }
            let group = Group { containerd, recipe: &sleeper, containers, pod };
            results.push(group.measure(options.settle).await.context(what)?);
        }
    }
    Ok(results)
}

/// Containers that sleep at the same time.
struct Group<'a> {
    containerd: &'a Containerd,
    recipe: &'a Recipe,
    containers: usize,
    pod: bool,
}

/// One that sleeps: its id, and its init's pid.
type Sleeping<'a> = (String, Container<'a>, u32);

impl Group<'_> {
    async fn measure(&self, settle: Duration) -> Result<Idle> {
        let sleeping = self.begin().await?;
        interrupt::sleep(settle).await?;
        let (shims, inits, hosts) = look(&sleeping)?;
        let answered = self.ask(&sleeping).await?;
        let stopped = self.end(sleeping).await?;
        let (subject, containers, pod) = (self.recipe.subject.clone(), self.containers, self.pod);
        Ok(Idle { subject, containers, pod, shims, inits, hosts, answered, stopped })
    }

    async fn begin(&self) -> Result<Vec<Sleeping<'_>>> {
        let mut sleeping = Vec::new();
        let mut recipe = self.recipe.clone();
        for index in 0..self.containers {
            interrupt::check()?;
            let id = sweep::new_id();
            if self.pod && index == 0 {
                recipe.subject = recipe.subject.with_annotation(POD, &id);
            }
            let begin = async {
                let container = Container::prepare(self.containerd, &recipe, id.clone()).await?;
                let pid = container.create().await?;
                container.start().await?;
                anyhow::Ok((id, container, pid))
            };
            sleeping.push(tokio::time::timeout(HANGS, begin).await??);
        }
        Ok(sleeping)
    }

    /// Runs another program in each container; returns how many did, and tells of the first that did not.
    async fn ask(&self, sleeping: &[Sleeping<'_>]) -> Result<usize> {
        interrupt::check()?;
        let greeting = self.recipe.subject.greeting();
        let ask = async |(id, container, _): &Sleeping<'_>| {
            let output =
                tokio::time::timeout(HANGS, container.exec(&greeting)).await.context("it takes too long")??;
            ensure!(output.stdout.starts_with("hello"), "{id} answers {output:?}");
            Ok(())
        };
        count(stream::iter(sleeping).map(ask).buffer_unordered(AT_A_TIME), "running another program").await
    }

    /// Ends all; returns how many did so by SIGTERM.
    async fn end(&self, sleeping: Vec<Sleeping<'_>>) -> Result<Option<usize>> {
        let wasm = self.recipe.subject.is_wasm();
        // Later ones first: a pod's shim has the name of its first.
        let all = stream::iter(sleeping.into_iter().rev());
        if !wasm {
            let ended = all.map(|(_, container, _)| end(container, Signal::SIGKILL)).buffer_unordered(AT_A_TIME);
            let count = count(ended, "ending by SIGKILL").await?;
            ensure!(count == self.containers, "{count} of {} containers ended by SIGKILL", self.containers);
            return Ok(None);
        }
        let ended = all.map(|(_, container, _)| end(container, Signal::SIGTERM)).buffer_unordered(AT_A_TIME);
        Ok(Some(count(ended, "ending by SIGTERM").await?))
    }
}

async fn count(outcomes: impl stream::Stream<Item = Result<()>>, what: &str) -> Result<usize> {
    let outcomes: Vec<_> = outcomes.collect().await;
    if let Some(error) = outcomes.iter().find_map(|outcome| outcome.as_ref().err()) {
        eprintln!("bench: {what}: {error:#}");
    }
    Ok(outcomes.iter().filter(|outcome| outcome.is_ok()).count())
}

fn look(sleeping: &[Sleeping]) -> Result<(Vec<Memory>, Vec<Memory>, Vec<Memory>)> {
    let ids: BTreeSet<_> = sleeping.iter().map(|(id, _, _)| id.as_str()).collect();
    let shims: BTreeSet<_> = proc::shims(|word| ids.contains(word))?.into_iter().collect();
    ensure!(!shims.is_empty(), "no shim names its container in its arguments");
    let (mut inits, mut hosts) = (Vec::new(), BTreeSet::new());
    for (_, _, pid) in sleeping {
        inits.push(proc::memory(*pid).context("a container's init")?);
        hosts.extend(proc::engine_host(*pid)?);
    }
    let memories = |pids: BTreeSet<u32>| pids.into_iter().map(proc::memory).collect::<Result<Vec<_>>>();
    Ok((memories(shims)?, inits, memories(hosts)?))
}

/// Ends a container by a signal, which its exit code must tell.
async fn end(container: Container<'_>, signal: Signal) -> Result<()> {
    let exit = async { tokio::try_join!(container.wait(), container.kill(signal)) };
    let heeded = tokio::time::timeout(HEEDS, exit).await;
    if heeded.is_err() {
        tokio::time::timeout(HANGS, async { tokio::try_join!(container.wait(), container.kill(Signal::SIGKILL)) })
            .await??;
    }
    let code = tokio::time::timeout(HANGS, container.delete()).await??;
    let output = container.remove().await?;
    let expected = 128 + signal as u32;
    ensure!(code == expected, "exit code {code} instead of {expected} after {signal}: {output:?}");
    if let Ok(outcome) = heeded {
        outcome?;
    }
    Ok(())
}
