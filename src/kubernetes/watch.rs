//! `watch`: keeps the label of all nodes as they report it.

use std::pin::pin;

use anyhow::{Context, Result};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt,
        watcher::{Config, watcher},
    },
};

use crate::{api::is_code, node};

/// What `watch` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    /// Labels of the nodes that are looked at; all nodes if it is empty.
    pub selector: String,
    /// Keys of the taints that are taken from a node when it gets ready.
    pub startup_taints: Vec<String>,
}

/// Runs until the process is ended.
///
/// # Errors
/// The API server refuses what is asked. It being away for a while is none: the watch goes on when it is back.
pub async fn watch(client: Client, settings: &Watch) -> Result<()> {
    let nodes: Api<Node> = Api::all(client);
    let config =
        if settings.selector.is_empty() { Config::default() } else { Config::default().labels(&settings.selector) };
    let mut events = pin!(watcher(nodes.clone(), config).default_backoff().applied_objects());
    while let Some(event) = events.next().await {
        match event {
            Ok(node) => settle(&nodes, &node, settings).await?,
            Err(error) => log::warn!("the nodes cannot be watched: {error}"),
        }
    }
    Ok(())
}

/// Changes a node if it has to be.
async fn settle(nodes: &Api<Node>, node: &Node, settings: &Watch) -> Result<()> {
    let Some(patch) = node::settle(node, &settings.startup_taints) else { return Ok(()) };
    let name = node::name(node);
    match nodes.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => log::info!("node {name}: {}={}", node::LABEL, patch["metadata"]["labels"][node::LABEL]),
        // It has changed or gone meanwhile: the next event tells how it is now.
        Err(error) if is_code(&error, 409) || is_code(&error, 404) => {}
        Err(error) => return Err(error).with_context(|| format!("node {name} cannot be labelled")),
    }
    Ok(())
}
