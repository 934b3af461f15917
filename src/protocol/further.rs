//! Runtime options that came after the messages: at their end, where neighbours of before leave them out.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{MetricsAddress, Pod, PodName, Preopen};

/// Options of a runtime that shims did not send at first. New ones are added at the end, absent where the sender does not know
/// them, as [`absent_is_default`] has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherOptions {
    /// Whose settings are heeded.
    pub annotations: AnnotationSource,
    /// The directories that modules find open, unless the container says otherwise; `None` for the usual ones.
    pub preopens: Option<Vec<Preopen>>,
    /// Where the host's metrics are wanted. Since version 8.
    #[serde(deserialize_with = "absent_is_default")]
    pub metrics: Option<MetricsAddress>,
    /// No option: the pod that the container is in, as far as the shim knows. Since version 8.
    #[serde(deserialize_with = "absent_is_default")]
    pub pod: Option<PodName>,
    /// No option: the creation is part of a trace that is recorded. Since version 8.
    #[serde(deserialize_with = "absent_is_default")]
    pub traced: bool,
    /// No option: what the container shares with its pod, where the shim holds that. Since version 8: a host of before finds no
    /// namespaces by the names that the spec has for them, and makes no container.
    #[serde(deserialize_with = "absent_is_default")]
    pub shared: Option<Pod>,
}

/// Whose settings of a container are heeded; each includes those before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AnnotationSource {
    /// The annotations that are in the OCI spec.
    Spec,
    /// Those that Kubernetes gave the pod as well: containerd is asked for them where the spec has none.
    #[default]
    Pod,
    /// The labels of the image as well: containerd is asked each time.
    Image,
}

impl AnnotationSource {
    /// What [`FromStr`] takes, for messages.
    pub const NAMES: &str = "spec, pod or image";
}

impl fmt::Display for AnnotationSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "spec",
            Self::Pod => "pod",
            Self::Image => "image",
        })
    }
}

impl FromStr for AnnotationSource {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Spec, Self::Pod, Self::Image].into_iter().find(|source| source.to_string() == name).ok_or(())
    }
}

/// For the last fields of a message: its default where the sender does not know it.
///
/// # Errors
/// None.
pub fn absent_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(T::deserialize(deserializer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_names_and_an_order() {
        for source in [AnnotationSource::Spec, AnnotationSource::Pod, AnnotationSource::Image] {
            assert_eq!(source.to_string().parse(), Ok(source));
        }
        assert_eq!("containerd".parse::<AnnotationSource>(), Err(()));
        assert!(AnnotationSource::Spec < AnnotationSource::Pod && AnnotationSource::Pod < AnnotationSource::Image);
    }
}
