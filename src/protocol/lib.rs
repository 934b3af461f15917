//! The conversation between the shim, one per pod, and the engine host, one per node and engine version.
//!
//! Both ends are on the same machine and talk over a `SOCK_SEQPACKET` unix socket: one packet is one message, file
//! descriptors travel beside it (`SCM_RIGHTS`). The client speaks first, with [`Hello`]; the host answers with its
//! own and closes the connection when they have no protocol version in common. After that the client sends
//! [`Request`]s, numbered by itself, and the host sends one [`Reply`] to each, in any order, and an [`Exit`] for every
//! process of this connection that ends. Whether the host is well a client finds out by [`ToHost::Ping`].

mod aot;
mod channel;
mod engine;
mod error;
mod files;
mod further;
mod hello;
mod location;
mod message;
mod metrics;
mod packet;
mod peer;
mod pidfd;
mod plugins;
mod pod;
mod pod_name;
mod preopen;
mod proposals;
mod secret;
mod signals;
mod trace;
mod words;

pub use aot::{Aot, AotPolicy, Optimization};
pub use channel::{Channel, MAX_MESSAGE, Received};
pub use engine::Engine;
pub use error::{Error, Failure, FailureKind, MAX_TEXT, Result, cut};
pub use files::{gone, others_can_change, others_can_replace_in};
pub use further::{AnnotationSource, FurtherOptions};
pub use hello::{Hello, OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, Versions, check_hello};
pub use location::{Location, ensure_private_dir};
pub use message::{
    ContainerKey, Create, Created, Deleted, Exec, Exit, ExitStatus, FromHost, Outcome, Reply, Request, RootfsMount,
    SandboxOptions, StdioPresence, ToHost, Update,
};
pub use metrics::MetricsAddress;
pub use packet::{MAX_FDS, Packet, receive_packet, send_packet};
pub use peer::{Peer, check_peer};
pub use pidfd::{Pidfd, exit_code};
pub use plugins::Plugins;
pub use pod::{NamespaceKind, Pod, PodFile, PodNamespace};
pub use pod_name::PodName;
pub use preopen::Preopen;
pub use proposals::{Proposal, Proposals, UnknownProposal};
pub use secret::{Secret, wipe};
pub use signals::{Signals, UnknownSignal};
pub use trace::{Export, Span, TraceParent, Verb, new_span_id};
pub use words::words;
