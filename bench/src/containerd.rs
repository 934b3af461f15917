//! The connection to containerd.

use std::path::Path;

use anyhow::{Context, Error, Result, anyhow};
use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::images_client::ImagesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::tonic::metadata::MetadataValue;
use containerd_client::tonic::transport::Channel;
use containerd_client::tonic::{Request, Response, Status};

/// containerd's namespace for all that is done here; images must be in it.
pub const NAMESPACE: &str = "bench";

/// One HTTP/2 connection, which all requests share.
#[derive(Clone, Debug)]
pub struct Containerd {
    channel: Channel,
    pub snapshotter: String,
}

impl Containerd {
    /// Connects to containerd's socket.
    pub async fn connect(address: &Path, snapshotter: &str) -> Result<Self> {
        let channel = containerd_client::connect(address)
            .await
            .with_context(|| format!("connecting to containerd at {}", address.display()))?;
        Ok(Self { channel, snapshotter: snapshotter.to_owned() })
    }

    pub fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel.clone())
    }

    pub fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone())
    }

    pub fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    pub fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel.clone())
    }

    pub fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone())
    }

    /// containerd's version, as it says it.
    pub async fn version(&self) -> Result<String> {
        let answer = VersionClient::new(self.channel.clone()).version(()).await.doing("asking for the version")?;
        Ok(answer.version)
    }
}

/// The message as a request in our namespace.
pub fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

/// Answers of containerd, with errors that tell what was being done.
pub trait Answer<T> {
    /// The message of the answer, or an error that starts with `what`.
    fn doing(self, what: &str) -> Result<T>;
}

impl<T> Answer<T> for Result<Response<T>, Status> {
    fn doing(self, what: &str) -> Result<T> {
        self.map(Response::into_inner).map_err(|status| describe(what, &status))
    }
}

/// A status' own text carries gRPC's metadata too, which says nothing to a reader.
pub fn describe(what: &str, status: &Status) -> Error {
    anyhow!("{what}: {} ({:?})", status.message(), status.code())
}
