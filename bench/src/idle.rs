//! What containers cost that do nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::container::{Container, Recipe};
use crate::containerd::Containerd;
use crate::interrupt;
use crate::options::Options;
use crate::proc::{self, Memory};
use crate::subject::Subject;
use crate::sweep;

/// No step of a container that sleeps takes longer, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

/// So many sleeping containers of one subject; a host serves several.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    pub subject: Subject,
    pub containers: usize,
    pub shims: Vec<Memory>,
    pub inits: Vec<Memory>,
    /// Engine hosts that these containers were forked from.
    pub hosts: Vec<Memory>,
}

impl Idle {
    /// PSS of all processes in bytes, divided by the number of containers.
    pub fn pss_per_container(&self) -> u64 {
        let all = self.shims.iter().chain(&self.inits).chain(&self.hosts);
        all.map(|memory| memory.pss).sum::<u64>() / self.containers as u64
    }
}

/// Measures each number of containers, one subject after the other.
pub async fn measure(containerd: &Containerd, recipes: &[Recipe], options: &Options) -> Result<Vec<Idle>> {
    let mut results = Vec::new();
    for &containers in &options.containers {
        for recipe in recipes {
            let sleeper = Recipe::new(containerd, recipe.subject.sleeper()).await?;
            let what = || format!("{}, {containers} sleeping containers", sleeper.subject.label);
            let (shims, inits, hosts) =
                sleep_and_look(containerd, &sleeper, containers, options.settle).await.with_context(what)?;
            results.push(Idle { subject: sleeper.subject, containers, shims, inits, hosts });
        }
    }
    Ok(results)
}

type Looks = (Vec<Memory>, Vec<Memory>, Vec<Memory>);

async fn sleep_and_look(containerd: &Containerd, recipe: &Recipe, count: usize, settle: Duration) -> Result<Looks> {
    let mut sleeping = Vec::new();
    for _ in 0..count {
        interrupt::check()?;
        let id = sweep::new_id();
        sleeping.push(tokio::time::timeout(HANGS, begin(containerd, recipe, id)).await??);
    }
    interrupt::sleep(settle).await?;
    let looks = look(&sleeping)?;
    for (_, container, _) in sleeping {
        tokio::time::timeout(HANGS, end(container)).await??;
    }
    Ok(looks)
}

async fn begin<'a>(containerd: &'a Containerd, recipe: &Recipe, id: String) -> Result<(String, Container<'a>, u32)> {
    let container = Container::prepare(containerd, recipe, id.clone()).await?;
    let pid = container.create().await?;
    container.start().await?;
    Ok((id, container, pid))
}

fn look(sleeping: &[(String, Container, u32)]) -> Result<Looks> {
    let (mut shims, mut inits, mut hosts) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for (id, _, pid) in sleeping {
        inits.push(proc::memory(*pid).context("a container's init")?);
        shims.extend(proc::shims(|word| word == id)?);
        hosts.extend(proc::engine_host(*pid)?);
    }
    ensure!(!shims.is_empty(), "no shim names its container in its arguments");
    let memories = |pids: BTreeSet<u32>| pids.into_iter().map(proc::memory).collect::<Result<Vec<_>>>();
    Ok((memories(shims)?, inits, memories(hosts)?))
}

async fn end(container: Container<'_>) -> Result<()> {
    tokio::try_join!(container.wait(), container.kill())?;
    let code = container.delete().await?;
    let output = container.remove().await?;
    ensure!(code == 137, "exit code {code} instead of 137 after SIGKILL: {output:?}");
    Ok(())
}
