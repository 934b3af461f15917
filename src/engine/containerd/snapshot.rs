//! A look into an image's root filesystem: a read-only snapshot for the time of it.

use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::services::v1::{
    CreateRequest, DeleteRequest,
    leases_client::LeasesClient,
    snapshots::{RemoveSnapshotRequest, ViewSnapshotRequest, snapshots_client::SnapshotsClient},
};
use oci_spec::image::Descriptor;
use wasmedge_shim_protocol::RootfsMount;

use super::client::Client;

/// containerd's label of an unpacked image's configuration: behind it the snapshotter, its value the topmost snapshot.
const UNPACKED: &str = "containerd.io/gc.ref.snapshot.";

/// containerd's label of a lease with the time of its end. What a killed process has left is removed then.
const EXPIRES: &str = "containerd.io/gc.expire";
const LIFETIME: Duration = Duration::from_secs(600);

/// Calls `look` with mounts that make up the root filesystem of the image with this configuration.
///
/// # Errors
/// Where the image is not unpacked, and those of `look`.
pub fn view<T>(
    client: &mut Client,
    config: &Descriptor,
    look: impl FnOnce(&Client, &[RootfsMount]) -> Result<T>,
) -> Result<T> {
    let labels = client.labels(config)?.with_context(|| format!("containerd does not have its {}", config.digest()))?;
    let unpacked = labels.iter().find_map(|(name, chain)| Some((name.strip_prefix(UNPACKED)?, chain)));
    let (snapshotter, chain) = unpacked
        .context("it is not unpacked: containerd does that for its first container, or at \"ctr images pull\"")?;
    let lease = format!("wasmedge-engine-{}", std::process::id());
    begin(client, &lease)?;
    let mut snapshots = SnapshotsClient::new(client.channel.clone());
    let wanted = ViewSnapshotRequest {
        snapshotter: snapshotter.to_owned(),
        key: lease.clone(),
        parent: chain.clone(),
        ..ViewSnapshotRequest::default()
    };
    let made = client.answer("making a snapshot of it", snapshots.view(client.request(wanted)));
    let looked = made.and_then(|made| made.context("its snapshot is gone")).and_then(|made| {
        let mounts: Vec<_> = made.mounts.into_iter().map(rootfs_mount).collect();
        let looked = look(client, &mounts);
        let done = RemoveSnapshotRequest { snapshotter: snapshotter.to_owned(), key: lease.clone() };
        let removed = client.answer("removing the snapshot of it", snapshots.remove(client.request(done)));
        looked.and_then(|looked| removed.map(|_| looked))
    });
    let ended = end(client, lease);
    looked.and_then(|looked| ended.map(|()| looked))
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
