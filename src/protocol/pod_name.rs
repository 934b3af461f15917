//! A pod's name, for people.

use std::{collections::HashMap, fmt};

use serde::{Deserialize, Serialize};

/// Annotations of containerd's CRI plugin, which sets them itself.
const NAMESPACE: &str = "io.kubernetes.cri.sandbox-namespace";
const NAME: &str = "io.kubernetes.cri.sandbox-name";
const CONTAINER: &str = "io.kubernetes.cri.container-name";

/// Most bytes that are kept of a name, as Kubernetes allows.
const LONGEST: usize = 253;

/// The names that Kubernetes has for a container. Whoever makes containers by another way can write what they like into the
/// annotations that they are taken from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// The pod's namespace in the cluster.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The container's name in the pod; empty for the sandbox, and where it is not known.
    pub container: String,
}

impl PodName {
    /// By a spec's annotations; `None` for what is in no pod.
    pub fn of(annotations: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| annotations.get(name).map_or("", String::as_str);
        let pod = Self::new(text(NAMESPACE), text(NAME))?;
        Some(Self { container: cut(text(CONTAINER)), ..pod })
    }

    /// That of a sandbox; `None` without a name.
    pub fn new(namespace: &str, name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self { namespace: cut(namespace), name: cut(name), container: String::new() })
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.name)?;
        if self.container.is_empty() { Ok(()) } else { write!(f, ", container {}", self.container) }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_the_names_that_kubernetes_gave_it() {
        let of = |list: &[(&str, &str)]| {
            PodName::of(&list.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        assert_eq!(of(&[(NAMESPACE, "shop")]), None);
        let sandbox = of(&[(NAMESPACE, "shop"), (NAME, "web-1")]).unwrap();
        assert_eq!(sandbox.to_string(), "pod shop/web-1");
        let container = of(&[(NAMESPACE, "shop"), (NAME, "web-1"), (CONTAINER, "app")]).unwrap();
        assert_eq!(container.to_string(), "pod shop/web-1, container app");
    }

    #[test]
    fn a_name_that_is_too_long_for_one_is_cut() {
        let long = HashMap::from([(NAME.to_owned(), "é".repeat(500))]);
        assert_eq!(PodName::of(&long).unwrap().name, "é".repeat(LONGEST / 2));
    }
}
