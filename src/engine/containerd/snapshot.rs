//! A look into an image's root filesystem: a read-only snapshot for the time of it.

use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::services::v1::{
    CreateRequest, DeleteRequest,
    leases_client::LeasesClient,
    snapshots::{RemoveSnapshotRequest, ViewSnapshotRequest, snapshots_client::SnapshotsClient},
};
use oci_spec::image::{Descriptor, ImageConfiguration};
use sha2::{Digest, Sha256};
use wasmedge_shim_protocol::RootfsMount;

use super::client::Client;

/// containerd's label of the configuration of an image that it has unpacked; behind it the snapshotter. An image that
/// shares all its layers with an earlier one has none.
const UNPACKED: &str = "containerd.io/gc.ref.snapshot.";

/// containerd's label of a lease with the time of its end. What a killed process has left is removed then.
const EXPIRES: &str = "containerd.io/gc.expire";
/// containerd's own snapshotter.
const USUAL: &str = "overlayfs";

const LIFETIME: Duration = Duration::from_secs(600);

/// Calls `look` with mounts that make up the root filesystem of the image with this configuration, `config`, which is the
/// blob `blob`.
///
/// # Errors
/// Where the image is not unpacked, and those of `look`.
pub fn view<T>(
    client: &mut Client,
    blob: &Descriptor,
    config: &ImageConfiguration,
    look: impl FnOnce(&[RootfsMount]) -> Result<T>,
) -> Result<T> {
    let labels = client.labels(blob)?.unwrap_or_default();
    let snapshotter = labels.keys().find_map(|name| name.strip_prefix(UNPACKED)).unwrap_or(USUAL);
    let lease = format!("wasmedge-engine-{}", std::process::id());
    begin(client, &lease)?;
    let mut snapshots = SnapshotsClient::new(client.channel.clone());
    let wanted = ViewSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: lease.clone(),
        parent: chain_id(config.rootfs().diff_ids()),
        ..ViewSnapshotRequest::default()
    };
    let made = client.answer("making a snapshot of it", snapshots.view(client.request(wanted)));
    let not_unpacked =
        || format!("it is not unpacked by the snapshotter {snapshotter}: containerd does that for its first container");
    let looked = made.and_then(|made| made.with_context(not_unpacked)).and_then(|made| {
        let mounts: Vec<_> = made.mounts.into_iter().map(rootfs_mount).collect();
        let looked = look(&mounts);
        let done = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: lease.clone() };
        let removed = client.answer("removing the snapshot of it", snapshots.remove(client.request(done)));
        looked.and_then(|looked| removed.map(|_| looked))
    });
    let ended = end(client, lease);
    looked.and_then(|looked| ended.map(|()| looked))
}

/// The name of the snapshot with all layers (OCI image specification, ChainID).
pub fn chain_id(layers: &[String]) -> String {
    let below = |below: String, layer: &String| {
        let digits: String =
            Sha256::digest(format!("{below} {layer}")).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    };
    layers.split_first().map_or_else(String::new, |(first, rest)| rest.iter().fold(first.clone(), below))
}

fn begin(client: &mut Client, lease: &str) -> Result<()> {
    let mut leases = LeasesClient::new(client.channel.clone());
    let end = jiff::Timestamp::now() + LIFETIME;
    let labels = [(EXPIRES.to_owned(), end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())].into();
    let wanted = CreateRequest { id: lease.to_owned(), labels };
    client.answer("making a lease", leases.create(client.request(wanted)))?;
    client.use_lease(lease)
}

fn end(client: &Client, lease: String) -> Result<()> {
    let mut leases = LeasesClient::new(client.channel.clone());
    let done = DeleteRequest { id: lease, sync: true };
    client.answer("ending the lease", leases.delete(client.request(done))).map(drop)
}

fn rootfs_mount(mount: containerd_client::types::Mount) -> RootfsMount {
    RootfsMount { fstype: mount.r#type, source: mount.source, target: mount.target, options: mount.options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_of_all_layers_has_the_name_of_their_chain() {
        let layers: Vec<String> = ["sha256:a", "sha256:b"].map(str::to_owned).to_vec();
        assert_eq!(chain_id(&layers[..1]), "sha256:a");
        // printf %s "sha256:a sha256:b" | sha256sum
        assert_eq!(chain_id(&layers), "sha256:970a948bffa8de94d6e22d747ba8c95030e6e546909f98f54e99a13005e173a8");
        assert_eq!(chain_id(&[]), "");
    }
}
