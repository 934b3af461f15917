//! Pods of the runtime, and pods of this installation.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};

use crate::node;

/// As many pods as are asked for at once.
const PAGE: u32 = 500;

/// The pods of these RuntimeClasses that are on a node and have not ended, as `NAMESPACE/NAME on NODE`.
///
/// # Errors
/// The API server does not list them.
pub async fn running(client: &Client, classes: &[String]) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::all(client.clone());
    let not_ended = "status.phase!=Succeeded,status.phase!=Failed";
    let mut params = ListParams::default().fields(not_ended).limit(PAGE);
    let mut names = Vec::new();
    loop {
        let page = pods.list(&params).await?;
        names.extend(page.items.iter().filter_map(|pod| of_classes(pod, classes)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(names),
        }
    }
}

fn of_classes(pod: &Pod, classes: &[String]) -> Option<String> {
    let class = pod.spec.as_ref()?.runtime_class_name.as_ref()?;
    let (namespace, name) = (pod.metadata.namespace.as_deref()?, pod.metadata.name.as_deref()?);
    let node = node::of_pod(pod)?;
    classes.contains(class).then(|| format!("{namespace}/{name} on {node}"))
}

/// Whether a pod is ready: its init containers have ended well, and the others run.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
