//! `leave`: lets nodes be left in order, before what is installed on them is taken away.
//!
//! The label goes first, so that no pod comes any more. When none of the runtime runs, the label says `removing`: that starts
//! the privileged pod which uninstalls, on this node alone. Its end is seen by two things: that pod is ready, and the node
//! does not report the handler any more.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use tokio::time::{Instant, sleep};

use crate::{
    api::{is_code, is_refused},
    node::{self, LABEL, Ready},
    pods,
};

/// What is done while pods of the runtime run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhilePodsRun {
    /// Nothing is changed: the nodes stay as they are.
    Refuse,
    /// They are waited for, and after the time the same as with `Refuse`.
    Wait,
    /// The node is left all the same. Its containers run on, and cannot be told anything any more.
    Force,
}

/// What `leave` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// The RuntimeClasses whose pods count.
    pub runtime_classes: Vec<String>,
    /// What is done while such pods run.
    pub while_pods_run: WhilePodsRun,
    /// The namespace of the pods that uninstall.
    pub namespace: String,
    /// Their labels.
    pub uninstaller: String,
    /// How long pods, and afterwards nodes, are waited for.
    pub timeout: Duration,
    /// How long it takes until something is looked at again.
    pub interval: Duration,
}

/// Takes all nodes that have the label through the states.
///
/// # Errors
/// Pods run, or a node has not come to the end in time; both are named.
pub async fn leave(client: Client, settings: &Leave) -> Result<()> {
    let leaving = Leaving { nodes: Api::all(client.clone()), client, settings };
    leaving.move_all(&[Ready::True, Ready::False], Ready::Leaving).await?;
    if settings.while_pods_run != WhilePodsRun::Force
        && let Err(refusal) = leaving.until_no_pods_run().await
    {
        // `watch` says what is true.
        leaving.move_all(&[Ready::Leaving], Ready::False).await?;
        return Err(refusal);
    }
    leaving.move_all(&[Ready::Leaving], Ready::Removing).await?;
    leaving.until_removed().await
}

/// Takes the label from all nodes: nothing of this runtime is left in the cluster that looks at it.
///
/// # Errors
/// The API server refuses it.
pub async fn forget(client: Client) -> Result<()> {
    let nodes: Api<Node> = Api::all(client);
    for node in labelled(&nodes).await? {
        change(&nodes, node::name(&node), None, |_| true).await?;
    }
    Ok(())
}

struct Leaving<'a> {
    nodes: Api<Node>,
    client: Client,
    settings: &'a Leave,
}

impl Leaving<'_> {
    async fn move_all(&self, from: &[Ready], to: Ready) -> Result<()> {
        let is_there = |node: &Node| Ready::of(node).is_some_and(|ready| from.contains(&ready));
        for node in labelled(&self.nodes).await?.iter().filter(|node| is_there(node)) {
            let name = node::name(node);
            change(&self.nodes, name, Some(to), is_there).await?;
            log::info!("node {name}: {LABEL}={}", to.value());
        }
        Ok(())
    }

    async fn until_no_pods_run(&self) -> Result<()> {
        let deadline = Instant::now() + self.settings.timeout;
        loop {
            let running = pods::running(&self.client, &self.settings.runtime_classes).await?;
            if running.is_empty() {
                return Ok(());
            }
            let names = running.join(", ");
            let late = Instant::now() >= deadline;
            if late || self.settings.while_pods_run == WhilePodsRun::Refuse {
                bail!("pods of this runtime run: {names}; delete them, and uninstall again");
            }
            log::info!("waiting for pods: {names}");
            sleep(self.settings.interval).await;
        }
    }

    /// The API server itself may be restarted with a node's containerd (k3s).
    async fn until_removed(&self) -> Result<()> {
        let deadline = Instant::now() + self.settings.timeout;
        loop {
            let state = match self.what_is_left().await {
                Ok(left) if left.is_empty() => return Ok(()),
                Ok(left) => left.join(", "),
                Err(error) if is_refused(&error) => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                bail!("these nodes are not done: {state}; see the logs of the pods with {}", self.settings.uninstaller);
            }
            log::info!("waiting for nodes: {state}");
            sleep(self.settings.interval).await;
        }
    }

    /// The nodes that have not come to the end, and why.
    async fn what_is_left(&self) -> Result<Vec<String>, kube::Error> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.settings.namespace);
        let pods = pods.list(&ListParams::default().labels(&self.settings.uninstaller)).await?.items;
        let done: Vec<&str> = pods.iter().filter(|pod| pods::is_ready(pod)).filter_map(node::of_pod).collect();
        let why = |node: &Node| match (done.contains(&node::name(node)), node::has_handler(node)) {
            (true, false) => None,
            (true, true) => Some("still reports the handler"),
            (false, _) => Some("is not uninstalled"),
        };
        let nodes = labelled(&self.nodes).await?;
        let removing = nodes.iter().filter(|node| Ready::of(node) == Some(Ready::Removing));
        Ok(removing.filter_map(|node| Some(format!("{} {}", node::name(node), why(node)?))).collect())
    }
}

async fn labelled(nodes: &Api<Node>) -> Result<Vec<Node>, kube::Error> {
    Ok(nodes.list(&ListParams::default().labels(LABEL)).await?.items)
}

/// Changes the label of a node for as long as `holds` for it, whatever else is changed of it at the same time.
async fn change(nodes: &Api<Node>, name: &str, to: Option<Ready>, holds: impl Fn(&Node) -> bool) -> Result<()> {
    while let Some(node) = nodes.get_opt(name).await? {
        if !holds(&node) {
            break;
        }
        let patch = node::labelled(&node, to);
        match nodes.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(error) if is_code(&error, 409) => {}
            Err(error) if is_code(&error, 404) => break,
            done => return done.map(drop).with_context(|| format!("node {name} cannot be labelled")),
        }
    }
    Ok(())
}
