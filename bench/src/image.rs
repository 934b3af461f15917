//! Looking an image up: which snapshot its containers start from, and what they run by default.

use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::{GetImageRequest, ReadContentRequest};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::containerd::{Answer, Containerd, NAMESPACE, request};

/// What a container needs of its image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Name of the snapshot with all layers: the chain id of the OCI image specification.
    pub snapshot: String,
    /// Entrypoint and command.
    pub args: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
}

/// Finds an imported and unpacked image of our namespace by its whole name.
pub async fn resolve(containerd: &Containerd, name: &str) -> Result<Image> {
    find(containerd, name).await.with_context(|| format!("image {name} in containerd's namespace {NAMESPACE}"))
}

async fn find(containerd: &Containerd, name: &str) -> Result<Image> {
    let answer =
        containerd.images().get(request(GetImageRequest { name: name.to_owned() })).await.doing("looking it up")?;
    let target = answer.image.and_then(|image| image.target).context("containerd names no manifest for it")?;
    let mut manifest = read(containerd, &target.digest).await?;
    if let Some(entries) = manifest["manifests"].as_array() {
        let ours = |entry: &&Value| entry["platform"]["architecture"] == "amd64";
        let entry = entries.iter().find(ours).or(entries.first()).context("its index is empty")?;
        manifest = read(containerd, text(&entry["digest"])).await?;
    }
    let config = read(containerd, text(&manifest["config"]["digest"])).await?;
    let layers = words(&config["rootfs"]["diff_ids"]);
    ensure!(!layers.is_empty(), "it has no root file system");
    let settings = &config["config"];
    Ok(Image {
        snapshot: chain_id(&layers),
        args: [words(&settings["Entrypoint"]), words(&settings["Cmd"])].concat(),
        env: words(&settings["Env"]),
        working_dir: settings["WorkingDir"].as_str().filter(|path| !path.is_empty()).unwrap_or("/").to_owned(),
    })
}

async fn read(containerd: &Containerd, digest: &str) -> Result<Value> {
    let wanted = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
    let what = format!("reading {digest}");
    let mut stream = containerd.content().read(request(wanted)).await.doing(&what)?;
    let mut bytes = Vec::new();
    while let Some(part) = stream.message().await.map_err(|status| crate::containerd::describe(&what, &status))? {
        bytes.extend(part.data);
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{digest} is no JSON"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|word| text(word).to_owned()).collect()
}

fn chain_id(layers: &[String]) -> String {
    let mut layers = layers.iter();
    let first = layers.next().cloned().unwrap_or_default();
    layers.fold(first, |below, layer| {
        let hash = Sha256::digest(format!("{below} {layer}"));
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{hex}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_id_of_one_layer_is_the_layer() {
        assert_eq!(chain_id(&["sha256:a".into()]), "sha256:a");
    }

    #[test]
    fn further_layers_are_hashed_onto_the_chain() {
        let expected = Sha256::digest("sha256:a sha256:b");
        let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(chain_id(&["sha256:a".into(), "sha256:b".into()]), format!("sha256:{hex}"));
    }
}
