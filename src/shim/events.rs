//! Events to containerd, in the order in which they happened.
//!
//! containerd-shim's publisher sends a failed event again beside the later ones and forgets its queue when the shim
//! ends; here each event is delivered, or given up, before the next, and the shim waits for the last one.

use std::time::Duration;

use containerd_shim::{
    event::Event,
    protos::{
        protobuf::well_known_types::timestamp::Timestamp,
        shim::{event::Envelope, events::ForwardRequest},
        shim_async::{Client, EventsClient},
        ttrpc::context::with_duration,
    },
    util::{convert_to_any, timestamp as now},
};
use log::warn;
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use wasmedge_shim_protocol::ExitStatus;

/// Longest that containerd may take for one event.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(5);

/// Pauses between attempts to deliver an event; a restart of containerd fits in.
const RETRIES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

/// Longest that the shim's end waits for events to be delivered.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes events of one namespace.
pub struct Publisher {
    namespace: String,
    queue: Mutex<Option<(mpsc::UnboundedSender<Envelope>, JoinHandle<()>)>>,
}

impl Publisher {
    /// Publishes to containerd's ttrpc socket at `address`.
    pub fn new(address: &str, namespace: &str) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let address = if address.starts_with("unix://") { address.to_owned() } else { format!("unix://{address}") };
        let task = tokio::spawn(deliver(address, receiver));
        Self { namespace: namespace.to_owned(), queue: Mutex::new(Some((sender, task))) }
    }

    /// Queues an event. Those of one caller arrive in the order of the calls.
    pub async fn publish(&self, event: impl Event) {
        let topic = event.topic();
        let envelope = now().and_then(|timestamp| {
            let mut envelope = Envelope::new();
            envelope.set_namespace(self.namespace.clone());
            envelope.set_topic(topic.clone());
            envelope.set_timestamp(timestamp);
            envelope.set_event(convert_to_any(Box::new(event))?);
            Ok(envelope)
        });
        match envelope {
            Ok(envelope) => {
                if let Some((sender, _)) = &*self.queue.lock().await {
                    // The receiver lives until `flush` takes the sender.
                    let _ = sender.send(envelope);
                }
            }
            Err(error) => warn!("event {topic} cannot be encoded: {error}"),
        }
    }

    /// Waits until the queued events are delivered. None can be published afterwards.
    pub async fn flush(&self) {
        let Some((sender, task)) = self.queue.lock().await.take() else { return };
        drop(sender);
        if timeout(FLUSH_TIMEOUT, task).await.is_err() {
            warn!("events were not delivered within {FLUSH_TIMEOUT:?}");
        }
    }
}

async fn deliver(address: String, mut queue: mpsc::UnboundedReceiver<Envelope>) {
    let mut client = None;
    while let Some(envelope) = queue.recv().await {
        let topic = envelope.topic.clone();
        let mut retries = RETRIES.into_iter();
        while let Err(error) = forward(&mut client, &address, &envelope).await {
            client = None;
            let Some(pause) = retries.next() else {
                warn!("event {topic} is given up: {error}");
                break;
            };
            sleep(pause).await;
        }
    }
}

async fn forward(
    client: &mut Option<EventsClient>,
    address: &str,
    envelope: &Envelope,
) -> containerd_shim::TtrpcResult<()> {
    if client.is_none() {
        *client = Some(EventsClient::new(Client::connect(address).await?));
    }
    let Some(client) = client else { return Ok(()) };
    let mut request = ForwardRequest::new();
    request.set_envelope(envelope.clone());
    let mut context = with_duration(FORWARD_TIMEOUT);
    context.add("containerd-namespace-ttrpc".to_owned(), envelope.namespace.clone());
    client.forward(context, &request).await.map(drop)
}

/// When a process ended, as a protobuf timestamp.
pub fn timestamp(status: ExitStatus) -> Timestamp {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    Timestamp {
        seconds: (status.at_unix_nanos / NANOS_PER_SECOND).cast_signed(),
        nanos: (status.at_unix_nanos % NANOS_PER_SECOND) as i32,
        ..Timestamp::default()
    }
}
