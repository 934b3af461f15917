//! What a node says of itself, and the label by which the scheduler knows it.

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

/// The node's label; [`Ready`] has its values.
pub const LABEL: &str = "containerd-shim-wasmedge/ready";

/// The runtime handler's name in containerd's configuration.
pub const HANDLER: &str = "wasmedge";

/// The values of the label. `True` and `False` follow what the node reports; the others belong to [`crate::leave`], and only
/// that changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// The node has the handler: RuntimeClasses select it.
    True,
    /// It has not, or not yet.
    False,
    /// No new pods: those that run are waited for.
    Leaving,
    /// No pods run: what is installed on the node is taken back.
    Removing,
}

impl Ready {
    /// The label's value.
    pub fn value(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Leaving => "leaving",
            Self::Removing => "removing",
        }
    }

    /// What a node's label says; `None` if it has none, or one with another value.
    pub fn of(node: &Node) -> Option<Self> {
        let value = node.metadata.labels.as_ref()?.get(LABEL)?;
        [Self::True, Self::False, Self::Leaving, Self::Removing].into_iter().find(|ready| ready.value() == value)
    }
}

/// Whether the node's kubelet reports the handler (`.status.runtimeHandlers`, from Kubernetes 1.31 and containerd 2.0 on).
pub fn has_handler(node: &Node) -> bool {
    let handlers = node.status.as_ref().and_then(|status| status.runtime_handlers.as_ref());
    handlers.into_iter().flatten().any(|handler| handler.name.as_deref() == Some(HANDLER))
}

/// What has to be changed so that the label and the startup taints are as the node reports, if anything has.
pub fn settle(node: &Node, startup_taints: &[String]) -> Option<Value> {
    let (now, has) = (Ready::of(node), has_handler(node));
    if matches!(now, Some(Ready::Leaving | Ready::Removing)) {
        return None;
    }
    let ready = if has { Ready::True } else { Ready::False };
    let taints = if has { without_taints(node, startup_taints) } else { None };
    if now == Some(ready) && taints.is_none() {
        return None;
    }
    let mut patch = labelled(node, Some(ready));
    if let Some(taints) = taints {
        patch["spec"] = json!({ "taints": taints });
    }
    Some(patch)
}

/// Sets the label, or takes it away. A merge patch that holds for this version of the node only: what somebody else has
/// decided meanwhile is not overwritten, and the API server answers 409.
pub fn labelled(node: &Node, ready: Option<Ready>) -> Value {
    let value = ready.map(Ready::value);
    json!({ "metadata": { "resourceVersion": node.metadata.resource_version, "labels": { LABEL: value } } })
}

/// The node's taints without those of these keys; `None` if it has none of them.
fn without_taints(node: &Node, keys: &[String]) -> Option<Value> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let rest: Vec<_> = taints.iter().filter(|taint| !keys.contains(&taint.key)).collect();
    (rest.len() < taints.len()).then(|| json!(rest))
}

/// The name of a node.
pub fn name(node: &Node) -> &str {
    node.metadata.name.as_deref().unwrap_or_default()
}

/// The node on which a pod is.
pub fn of_pod(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(label: Option<&str>, handlers: &[&str], taints: &[&str]) -> Node {
        let labels = label.map_or_else(|| json!({}), |value| json!({ LABEL: value }));
        let handlers: Vec<_> = handlers.iter().map(|name| json!({ "name": name })).collect();
        let taints: Vec<_> = taints.iter().map(|key| json!({ "key": key, "effect": "NoSchedule" })).collect();
        serde_json::from_value(json!({
            "metadata": { "name": "one", "resourceVersion": "7", "labels": labels },
            "spec": { "taints": taints },
            "status": { "runtimeHandlers": handlers },
        }))
        .unwrap()
    }

    fn label(patch: &Value) -> &str {
        patch["metadata"]["labels"][LABEL].as_str().unwrap()
    }

    #[test]
    fn the_label_is_true_only_with_the_handler() {
        for (before, handlers, after) in [
            (None, &["", "runc"][..], Some("false")),
            (None, &["", "runc", "wasmedge"], Some("true")),
            (Some("false"), &["wasmedge"], Some("true")),
            (Some("true"), &["runc"], Some("false")),
            (Some("true"), &["runc", "wasmedge-other"], Some("false")),
            (Some("yes"), &["wasmedge"], Some("true")),
            (Some("true"), &["wasmedge"], None),
            (Some("false"), &[], None),
        ] {
            let patch = settle(&node(before, handlers, &[]), &[]);
            assert_eq!(patch.as_ref().map(label), after, "{before:?} {handlers:?}");
        }
    }

    #[test]
    fn a_node_without_a_status_is_not_ready() {
        assert_eq!(settle(&Node::default(), &[]).as_ref().map(label), Some("false"));
    }

    #[test]
    fn a_node_that_leaves_is_left_alone() {
        for value in ["leaving", "removing"] {
            for handlers in [&["wasmedge"][..], &[]] {
                assert_eq!(settle(&node(Some(value), handlers, &["new"]), &["new".into()]), None);
            }
        }
    }

    #[test]
    fn startup_taints_go_with_the_handler_and_others_stay() {
        let keys = ["new".to_owned(), "newer".to_owned()];
        let patch = settle(&node(Some("true"), &["wasmedge"], &["new", "gpu", "newer"]), &keys).unwrap();
        assert_eq!(patch["spec"]["taints"], json!([{ "key": "gpu", "effect": "NoSchedule" }]));
        let patch = settle(&node(None, &[], &["new"]), &keys).unwrap();
        assert_eq!(patch.get("spec"), None);
        assert_eq!(settle(&node(Some("true"), &["wasmedge"], &["gpu"]), &keys), None);
    }

    #[test]
    fn a_patch_holds_for_the_version_that_was_looked_at() {
        let patch = labelled(&node(None, &[], &[]), None);
        assert_eq!(patch, json!({ "metadata": { "resourceVersion": "7", "labels": { LABEL: null } } }));
    }
}
