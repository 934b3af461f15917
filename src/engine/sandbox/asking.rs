//! Asking containerd for what a pod wants and its containers' specs do not say: containerd passes on the annotations that its
//! configuration names, and whoever configures it may not be able to name ours.
//!
//! It is paid for only where it can matter: for a module in a pod of Kubernetes, and, unless an option says that images are
//! heeded, only where containerd has passed on nothing of ours.

use std::collections::HashMap;

use anyhow::{Context, Result};
use wasmedge_shim_protocol::{AnnotationSource, Create};

use super::{
    annotations::{Asked, PREFIX},
    native_code::KUBERNETES,
};
use crate::containerd::{self, Client, Said};

/// Annotations of containerd's CRI plugin, which sets them itself: whether this is the sandbox of a pod or a container in it,
/// and the sandbox's id.
const KIND: &str = "io.kubernetes.cri.container-type";
const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";

/// All that is asked for the container of the `request`, whose spec has these `annotations`, which ask for `in_spec`; `None` where
/// that is all.
///
/// # Errors
/// containerd does not answer as it should: what the pod's author asks for cannot be kept then. Or an image asks for what is not
/// its to choose.
pub fn complete(
    request: &Create,
    annotations: Option<&HashMap<String, String>>,
    in_spec: &Asked,
) -> Result<Option<Asked>> {
    let source = request.further.annotations;
    let Some(sandbox) = sandbox(request, annotations).filter(|_| is_due(source, in_spec)) else { return Ok(None) };
    let said = containerd::apart(|| {
        let client = Client::connect(&request.containerd, &request.key.namespace)?;
        let known = request.further.shared.as_ref().map(|pod| &pod.annotations);
        containerd::said(&client, &request.key.id, sandbox, PREFIX, known)
    });
    let Said { container, pod, image } = said.with_context(|| {
        format!(
            "cannot learn the pod's annotations {PREFIX}* (the runtime's option annotations = \"spec\" does without)"
        )
    })?;
    let mut asked = in_spec.clone();
    asked.add_annotations(container);
    asked.add_annotations(pod);
    if source >= AnnotationSource::Image {
        asked.add_labels(image)?;
    }
    Ok(Some(asked))
}

/// Whether there may be more than the spec says: containerd passes on ours or it does not.
fn is_due(source: AnnotationSource, in_spec: &Asked) -> bool {
    match source {
        AnnotationSource::Spec => false,
        AnnotationSource::Pod => in_spec.is_empty(),
        AnnotationSource::Image => true,
    }
}

/// The id of the pod's sandbox, for a container that was made through CRI.
fn sandbox<'a>(request: &Create, annotations: Option<&'a HashMap<String, String>>) -> Option<&'a str> {
    let of_cri = request.key.namespace == KUBERNETES && !request.containerd.as_os_str().is_empty();
    let annotations = annotations.filter(|_| of_cri)?;
    let is_container = annotations.get(KIND).is_some_and(|kind| kind == "container");
    annotations.get(SANDBOX).map(String::as_str).filter(|_| is_container)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmedge_shim_protocol::{ContainerKey, FurtherOptions, SandboxOptions, StdioPresence};

    fn request(namespace: &str, annotations: AnnotationSource) -> Create {
        Create {
            key: ContainerKey { namespace: namespace.into(), id: "c".into() },
            bundle: "/b".into(),
            rootfs: Vec::new(),
            stdio: StdioPresence::default(),
            terminal: false,
            options: SandboxOptions::default(),
            containerd: "/no/such/socket".into(),
            further: FurtherOptions { annotations, ..FurtherOptions::default() },
        }
    }

    fn annotations(more: &[(&str, &str)]) -> HashMap<String, String> {
        let pod = [(KIND, "container"), (SANDBOX, "p")];
        pod.iter().chain(more).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    /// There is no containerd: who asks it fails.
    fn asks(request: &Create, annotations: &HashMap<String, String>) -> bool {
        match complete(request, Some(annotations), &Asked::by_spec(Some(annotations))) {
            Ok(asked) => {
                assert_eq!(asked, None);
                false
            }
            Err(error) => {
                let error = format!("{error:#}");
                let parts = ["the pod's annotations", "annotations = \"spec\"", "containerd at /no/such/socket"];
                assert!(parts.iter().all(|part| error.contains(part)), "{error}");
                true
            }
        }
    }

    #[test]
    fn containerd_is_asked_where_the_spec_has_nothing_of_ours() {
        let pod = request("k8s.io", AnnotationSource::Pod);
        assert!(asks(&pod, &annotations(&[])));
        assert!(!asks(&pod, &annotations(&[("io.wasmedge.gas-limit", "1")])));
        assert!(!asks(&request("k8s.io", AnnotationSource::Spec), &annotations(&[])));
        let image = request("k8s.io", AnnotationSource::Image);
        assert!(asks(&image, &annotations(&[("io.wasmedge.gas-limit", "1")])));
    }

    #[test]
    fn it_is_asked_for_containers_of_pods_alone() {
        let image = |namespace| request(namespace, AnnotationSource::Image);
        for namespace in ["default", "moby"] {
            assert!(!asks(&image(namespace), &annotations(&[])), "{namespace}");
        }
        assert!(!asks(&image("k8s.io"), &annotations(&[(KIND, "sandbox")])));
        assert!(!asks(&image("k8s.io"), &HashMap::new()));
        assert_eq!(complete(&image("k8s.io"), None, &Asked::default()).unwrap(), None);
        assert!(!asks(&Create { containerd: "".into(), ..image("k8s.io") }, &annotations(&[])));
    }
}
