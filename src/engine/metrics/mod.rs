//! What runs on the node and what it has cost, for people ([`crate::status`]) and for Prometheus.
//!
//! Two kinds of facts. What a host alone knows, it tells: [`HostReport`], which it keeps as it goes. All else is the node's, and
//! found out by whoever wants to know it, from the records of containers, the memory of their processes, the cache and
//! the queue of compilers: [`Node`]. So whichever host is asked for metrics answers for all of them.

mod counts;
mod families;
mod hosts;
mod http;
mod node;
mod report;
mod text;

pub use counts::{Counts, Kind};
pub use families::exposition;
pub use hosts::{Answer, ask_all};
pub use http::serve;
pub use node::{ContainerReport, Node};
pub use report::{HostReport, Workers};
