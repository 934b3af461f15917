//! Work under way, and whom to tell of it.

use wasmedge_shim_protocol::{ContainerKey, Failure};

use super::{connection::ConnectionId, containers::Container};

/// Whom to answer.
#[derive(Debug, Clone, Copy)]
pub enum Caller {
    /// Who asked.
    Shim {
        /// On which connection.
        connection: ConnectionId,
        /// The request's number there.
        request: u64,
    },
    /// Nobody: the host does it of its own accord.
    Nobody,
}

/// What a worker is doing.
pub enum Job {
    /// Creating a container.
    Create(ContainerKey, Caller),
    /// Running another program in one.
    Exec(ContainerKey, Caller),
    /// What leaves nothing behind when it is cut short: the verb, for people.
    Short(&'static str, Caller),
    /// Removing one; where a creation failed half-way, its failure is the answer.
    Delete(ContainerKey, Option<Container>, Caller, Option<Failure>),
}
