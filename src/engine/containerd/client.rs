//! The connection to containerd's API.

use std::{
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use containerd_client::{
    services::v1::{
        Container, GetContainerRequest, GetImageRequest, InfoRequest, ListNamespacesRequest, PluginsRequest,
        ReadContentRequest, containers_client::ContainersClient, content_client::ContentClient,
        images_client::ImagesClient, introspection_client::IntrospectionClient, namespaces_client::NamespacesClient,
    },
    tonic::{
        Code, Request, Response, Status,
        metadata::{Ascii, MetadataValue},
        transport::Channel,
    },
};
use oci_spec::image::{Descriptor, Digest, DigestAlgorithm, MediaType};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

/// Longest that containerd may take for one answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest manifest or configuration that is read, in bytes: the limit of registries.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// Requests to containerd in one of its namespaces. Blocks, and uses no threads.
pub struct Client {
    runtime: Runtime,
    pub(super) channel: Channel,
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
}

impl Client {
    /// Connects to containerd's socket at `address`.
    pub fn connect(address: &Path, namespace: &str) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connect = async { timeout(DEADLINE, containerd_client::connect(address)).await };
        let channel = runtime
            .block_on(connect)
            .map_err(anyhow::Error::from)
            .and_then(|connected| Ok(connected?))
            .with_context(|| format!("cannot connect to containerd at {}", address.display()))?;
        let mut client = Self { runtime, channel, namespace: MetadataValue::from_static(""), lease: None };
        client.set_namespace(namespace)?;
        Ok(client)
    }

    /// The namespace that is asked.
    pub fn namespace(&self) -> &str {
        self.namespace.to_str().unwrap_or_default()
    }

    /// Asks another one.
    pub fn set_namespace(&mut self, namespace: &str) -> Result<()> {
        self.namespace = namespace.parse().with_context(|| format!("{namespace:?} is no name of a namespace"))?;
        Ok(())
    }

    /// All that there are.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let mut namespaces = NamespacesClient::new(self.channel.clone());
        let request = self.request(ListNamespacesRequest::default());
        let answer = self.answer("listing the namespaces", namespaces.list(request))?;
        Ok(answer.into_iter().flat_map(|answer| answer.namespaces).map(|namespace| namespace.name).collect())
    }

    /// What is made from now on belongs to this lease.
    pub(super) fn use_lease(&mut self, id: &str) -> Result<()> {
        self.lease = Some(id.parse()?);
        Ok(())
    }

    /// The message as a request in the namespace.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        request
    }

    /// Waits for an answer; `None` where containerd knows no such thing.
    ///
    /// # Errors
    /// containerd's own words behind `what` was being done.
    pub(super) fn answer<A>(
        &self,
        what: &str,
        call: impl Future<Output = std::result::Result<Response<A>, Status>>,
    ) -> Result<Option<A>> {
        let answer = self.in_time(what, call)?;
        found(what, answer)
    }

    fn in_time<T>(&self, what: &str, work: impl Future<Output = T>) -> Result<T> {
        let in_time = self.runtime.block_on(async { timeout(DEADLINE, work).await });
        in_time.map_err(|_| anyhow!("{what}: containerd does not answer for {DEADLINE:?}"))
    }

    /// The records of two containers, asked for at once; `None` where there is none.
    pub(super) fn two_containers(&self, one: &str, other: &str) -> Result<(Option<Container>, Option<Container>)> {
        let what = "looking up the container and its pod";
        let get = async |id: &str| {
            let request = self.request(GetContainerRequest { id: id.to_owned() });
            ContainersClient::new(self.channel.clone()).get(request).await
        };
        let (one, other) = self.in_time(what, async { tokio::join!(get(one), get(other)) })?;
        let [one, other] = [found(what, one)?, found(what, other)?];
        Ok((one.and_then(|answer| answer.container), other.and_then(|answer| answer.container)))
    }

    /// The name of the image that a container was made from; `None` where there is none.
    pub fn image_of(&self, container: &str) -> Result<Option<String>> {
        let mut containers = ContainersClient::new(self.channel.clone());
        let request = self.request(GetContainerRequest { id: container.to_owned() });
        let answer = self.answer("looking up the container", containers.get(request))?;
        let image = answer.and_then(|answer| answer.container).map(|container| container.image);
        Ok(image.filter(|image| !image.is_empty()))
    }

    /// What the image of this very name points to.
    pub fn image(&self, name: &str) -> Result<Option<Descriptor>> {
        let mut images = ImagesClient::new(self.channel.clone());
        let request = self.request(GetImageRequest { name: name.to_owned() });
        let answer = self.answer("looking up the image", images.get(request))?;
        let Some(target) = answer.and_then(|answer| answer.image).and_then(|image| image.target) else {
            return Ok(None);
        };
        let digest: Digest = target.digest.parse().with_context(|| format!("{:?} is no digest", target.digest))?;
        let size = u64::try_from(target.size).unwrap_or_default();
        Ok(Some(Descriptor::new(MediaType::from(&*target.media_type), size, digest)))
    }

    /// Labels of a blob; `None` where containerd does not have it.
    pub fn labels(&self, blob: &Descriptor) -> Result<Option<std::collections::HashMap<String, String>>> {
        let mut content = ContentClient::new(self.channel.clone());
        let request = self.request(InfoRequest { digest: blob.digest().to_string() });
        let answer = self.answer(&format!("looking up {}", blob.digest()), content.info(request))?;
        Ok(answer.and_then(|answer| answer.info).map(|info| info.labels))
    }

    /// A JSON document; `None` where containerd does not have it.
    pub fn document<T: DeserializeOwned>(&self, blob: &Descriptor) -> Result<Option<T>> {
        ensure!(blob.size() <= LARGEST_DOCUMENT, "{} has {} bytes, too many", blob.digest(), blob.size());
        let mut text = Vec::new();
        if !self.read(blob, &mut text)? {
            return Ok(None);
        }
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{} cannot be read", blob.digest()))
    }

    /// Writes a blob to `into`; `false` where containerd does not have it.
    ///
    /// # Errors
    /// Also where it is not what its digest says; some of it has been written then.
    pub fn read(&self, blob: &Descriptor, into: &mut impl Write) -> Result<bool> {
        let what = format!("reading {}", blob.digest());
        sha256_of(blob)?;
        let mut content = ContentClient::new(self.channel.clone());
        let request = self.request(ReadContentRequest { digest: blob.digest().to_string(), offset: 0, size: 0 });
        let Some(mut parts) = self.answer(&what, content.read(request))? else { return Ok(false) };
        let (mut hash, mut size) = (Sha256::new(), 0);
        loop {
            let part = self.answer(&what, async { parts.message().await.map(Response::new) })?;
            // A stream's first message, not its opening, tells that there is no such blob.
            let Some(part) = part else { return Ok(false) };
            let Some(part) = part else { break };
            size += part.data.len() as u64;
            ensure!(
                size <= blob.size(),
                "{} has more than the {} bytes it is said to have",
                blob.digest(),
                blob.size()
            );
            hash.update(&part.data);
            into.write_all(&part.data).with_context(|| what.clone())?;
        }
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        check(blob, &digits)?;
        Ok(true)
    }

    /// The directory of containerd's content store, where it has one on this node.
    pub fn content_root(&self) -> Result<Option<PathBuf>> {
        let mut introspection = IntrospectionClient::new(self.channel.clone());
        let filters = vec!["type==io.containerd.content.v1".to_owned()];
        let answer = introspection.plugins(self.request(PluginsRequest { filters }));
        let plugins = self.answer("looking up the content store", answer)?.map(|answer| answer.plugins);
        Ok(plugins.into_iter().flatten().find_map(|plugin| plugin.exports.get("root").map(PathBuf::from)))
    }
}

/// An answer; `None` where containerd knows no such thing.
fn found<A>(what: &str, answer: std::result::Result<Response<A>, Status>) -> Result<Option<A>> {
    match answer {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(anyhow!("{what}: containerd says: {}", status.message())),
    }
}

/// The digits of a blob's SHA-256.
///
/// # Errors
/// Where its digest is of another kind.
pub fn sha256_of(blob: &Descriptor) -> Result<&str> {
    let digest = blob.digest();
    ensure!(*digest.algorithm() == DigestAlgorithm::Sha256, "{digest}: only digests of sha256 are understood");
    Ok(digest.digest())
}

/// Whether a content with this SHA-256 is the blob.
pub fn check(blob: &Descriptor, sha256: &str) -> Result<()> {
    ensure!(
        sha256_of(blob)? == sha256,
        "the content of {} is damaged: it has the digest sha256:{sha256}",
        blob.digest()
    );
    Ok(())
}
