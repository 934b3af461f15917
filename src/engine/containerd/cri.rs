//! What containerd's CRI plugin keeps of a container and of its pod: their configurations, beside the containers' records.
//!
//! containerd passes on to a runtime only the annotations that its configuration names (`pod_annotations`,
//! `container_annotations`). All of them are in the records, as JSON (containerd, `internal/cri/store`), which all versions of
//! containerd with CRI's version 1 have alike.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::Container;
use serde::{Deserialize, Serialize};

use super::client::Client;

/// Extensions of a container's record: of one in a pod, and of a pod's sandbox.
const CONTAINER: &str = "io.cri-containerd.container.metadata";
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";

/// What was asked for a container, of names with a certain beginning.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Annotations of the container.
    pub container: BTreeMap<String, String>,
    /// Annotations of its pod, as they were when it was made.
    pub pod: BTreeMap<String, String>,
    /// Labels of its image. A client of CRI can give a container labels, too, which cannot be told from these.
    pub image: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(rename = "Metadata")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "SandboxID", default)]
    sandbox: String,
    #[serde(rename = "Config")]
    config: Option<Config>,
}

#[derive(Deserialize)]
struct Config {
    annotations: Option<BTreeMap<String, String>>,
}

/// What was asked for `container` of the pod with the sandbox `sandbox`, by names that begin with `prefix`. Nothing is known of
/// a container that was not made through CRI. `known` is what the pod asks for, where it has no record as a container.
///
/// # Errors
/// containerd does not answer, or answers with what is no record of CRI's.
pub fn said(
    client: &Client,
    container: &str,
    sandbox: &str,
    prefix: &str,
    known: Option<&BTreeMap<String, String>>,
) -> Result<Said> {
    let (of_container, of_pod) = client.two_containers(container, sandbox)?;
    read(of_container, of_pod, sandbox, prefix, known)
}

/// What the two records say.
fn read(
    container: Option<Container>,
    pod: Option<Container>,
    sandbox: &str,
    prefix: &str,
    known: Option<&BTreeMap<String, String>>,
) -> Result<Said> {
    let Some(container) = container else { return Ok(Said::default()) };
    let Some(metadata) = metadata(&container, CONTAINER)? else { return Ok(Said::default()) };
    ensure!(
        metadata.sandbox == sandbox,
        "containerd's record of the container names the pod {:?}, its spec the pod {sandbox:?}",
        metadata.sandbox
    );
    let pod = match known {
        Some(known) => known.clone(),
        None => of_sandbox(pod, sandbox, prefix)?,
    };
    Ok(Said { container: annotations(metadata, prefix), pod, image: with_prefix(container.labels, prefix) })
}

/// What the record of the pod's own container says.
fn of_sandbox(pod: Option<Container>, sandbox: &str, prefix: &str) -> Result<BTreeMap<String, String>> {
    let pod = pod.with_context(|| format!("containerd has no record of the pod's sandbox {sandbox:?}"))?;
    let metadata = self::metadata(&pod, SANDBOX)?
        .with_context(|| format!("containerd's record of the pod's sandbox {sandbox:?} is not CRI's"))?;
    Ok(annotations(metadata, prefix))
}

/// What two extensions say, where the container is of the pod "p".
#[cfg(any(feature = "fuzzing", test))]
pub(super) fn read_values(container: &[u8], pod: &[u8], prefix: &str) -> Result<Said> {
    let record = |extension: &str, value: &[u8]| {
        let mut container = Container { id: "c".to_owned(), ..Container::default() };
        container.extensions.entry(extension.to_owned()).or_default().value = value.to_owned();
        Some(container)
    };
    read(record(CONTAINER, container), record(SANDBOX, pod), "p", prefix, None)
}

fn metadata(container: &Container, name: &str) -> Result<Option<Metadata>> {
    let Some(extension) = container.extensions.get(name) else { return Ok(None) };
    let versioned: Versioned = serde_json::from_slice(&extension.value)
        .with_context(|| format!("containerd's record of {:?} has a {name} that is not understood", container.id))?;
    Ok(Some(versioned.metadata))
}

fn annotations(metadata: Metadata, prefix: &str) -> BTreeMap<String, String> {
    let annotations = metadata.config.and_then(|config| config.annotations).unwrap_or_default();
    annotations.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

fn with_prefix(labels: HashMap<String, String>, prefix: &str) -> BTreeMap<String, String> {
    labels.into_iter().filter(|(name, _)| name.starts_with(prefix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PREFIX: &str = "io.wasmedge.";

    fn record(id: &str, extension: &str, value: &[u8]) -> Container {
        let mut container = Container { id: id.to_owned(), ..Container::default() };
        container.extensions.entry(extension.to_owned()).or_default().value = value.to_owned();
        container
    }

    fn of(kind: &str, metadata: &Value) -> Container {
        record("c", kind, json!({ "Version": "v1", "Metadata": metadata }).to_string().as_bytes())
    }

    fn container() -> Container {
        let config = json!({ "metadata": { "name": "n" }, "annotations": { "io.wasmedge.a": "1", "other": "2" } });
        let mut container = of(CONTAINER, &json!({ "ID": "c", "SandboxID": "p", "Config": config, "Later": [1] }));
        container.labels = [("io.wasmedge.b".to_owned(), "3".to_owned()), ("maintainer".into(), "x".into())].into();
        container
    }

    fn pod() -> Container {
        of(SANDBOX, &json!({ "ID": "p", "Config": { "annotations": { "io.wasmedge.c": "4", "x": "5" } } }))
    }

    fn one(name: &str, text: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), text.to_owned())])
    }

    #[test]
    fn ours_are_taken_of_container_pod_and_image() {
        let said = read(Some(container()), Some(pod()), "p", PREFIX, None).unwrap();
        let expected = Said {
            container: one("io.wasmedge.a", "1"),
            pod: one("io.wasmedge.c", "4"),
            image: one("io.wasmedge.b", "3"),
        };
        assert_eq!(said, expected);
        let known = one("io.wasmedge.d", "6");
        let said = read(Some(container()), None, "p", PREFIX, Some(&known)).unwrap();
        assert_eq!(said, Said { pod: known, ..expected });
    }

    #[test]
    fn what_is_not_of_cri_says_nothing() {
        assert_eq!(read(None, None, "p", PREFIX, None).unwrap(), Said::default());
        let plain = Container { extensions: HashMap::default(), ..container() };
        assert_eq!(read(Some(plain), Some(pod()), "p", PREFIX, None).unwrap(), Said::default());
    }

    #[test]
    fn records_without_annotations_say_nothing() {
        for config in [json!(null), json!({}), json!({ "annotations": null })] {
            let container = of(CONTAINER, &json!({ "SandboxID": "p", "Config": config }));
            let pod = of(SANDBOX, &json!({ "Config": config }));
            assert_eq!(read(Some(container), Some(pod), "p", PREFIX, None).unwrap(), Said::default());
        }
    }

    #[test]
    fn a_record_that_is_hostile_is_refused_with_its_cause() {
        let error = |container, pod| format!("{:#}", read(container, pod, "p", PREFIX, None).unwrap_err());
        let other = of(CONTAINER, &json!({ "SandboxID": "q\n", "Config": {} }));
        assert_eq!(
            error(Some(other), Some(pod())),
            r#"containerd's record of the container names the pod "q\n", its spec the pod "p""#
        );
        assert_eq!(error(Some(container()), None), r#"containerd has no record of the pod's sandbox "p""#);
        let plain = Container::default();
        assert_eq!(
            error(Some(container()), Some(plain)),
            r#"containerd's record of the pod's sandbox "p" is not CRI's"#
        );
        let deep = format!("{{\"Metadata\":{}", "[".repeat(100_000));
        let wrong = json!({ "Metadata": { "Config": { "annotations": { "io.wasmedge.a": 1 } } } }).to_string();
        for value in [&b""[..], b"\xff", b"{}", b"[]", deep.as_bytes(), wrong.as_bytes()] {
            let error = error(Some(container()), Some(record("p", SANDBOX, value)));
            assert!(
                error.starts_with("containerd's record of \"p\" has a io.cri-containerd.sandbox.metadata that"),
                "{error}"
            );
        }
    }
}
