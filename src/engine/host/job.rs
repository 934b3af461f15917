//! Work under way, and whom to tell of it.

use std::time::{Duration, Instant};

use wasmedge_shim_protocol::{ContainerKey, Failure, PodName};

use super::{connection::ConnectionId, containers::Container, worker::Worker};
use crate::noted::Stages;

/// How long most workers may take, unless the host was told otherwise.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Longest time that a worker may wait for a compiler, beyond what it may take for its own work.
pub const COMPILATION: Duration = Duration::from_secs(3600);

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
    /// Creating a container, in the pod that its shim has named.
    Create(ContainerKey, Caller, Option<PodName>),
    /// Running another program in one.
    Exec(ContainerKey, Caller),
    /// What leaves nothing behind when it is cut short: the verb, for people.
    Short(&'static str, Caller),
    /// Removing one.
    Delete(Deletion),
    /// Telling of the host: what, for people.
    Telling(&'static str),
}

/// The removal of a container.
pub struct Deletion {
    /// Which.
    pub key: ContainerKey,
    /// What the host knew of it.
    pub container: Option<Container>,
    /// Whom to tell.
    pub caller: Caller,
    /// The answer where a creation has failed half-way.
    pub failure: Option<Failure>,
    /// How many workers were killed at it.
    pub killed: u32,
}

impl Job {
    /// What it is, for people.
    fn verb(&self) -> &'static str {
        match self {
            Self::Create(..) => "creating",
            Self::Exec(..) => "running a program in",
            Self::Short(verb, ..) => verb,
            Self::Delete(..) => "deleting",
            Self::Telling(what) => what,
        }
    }
}

/// What a worker has made, for counting.
pub struct Made {
    /// Whether its program is a module, where that is known.
    pub module: Option<bool>,
    /// How long it took.
    pub took: Duration,
    /// Its stages, where they are traced.
    pub stages: Option<Stages>,
}

/// A worker and what it is doing; nothing any more once it has reported.
pub struct Work {
    /// Who does it.
    pub worker: Worker,
    /// What is done.
    pub job: Option<Job>,
    /// What it is, for people: also of one that has reported.
    pub name: String,
    /// Whether it tells of the host.
    pub tells: bool,
    /// When it was begun.
    pub begun: Instant,
    /// When it is to be looked at, and ended if it has taken too long.
    pub deadline: Instant,
    /// How long it may take, without waiting for a compiler.
    pub limit: Duration,
    /// When it was last seen to wait for a compiler.
    pub waited_until: Option<Instant>,
}

impl Work {
    /// Begins.
    pub fn new(worker: Worker, job: Job, about: &str, limit: Duration) -> Self {
        let begun = Instant::now();
        let name = format!("{} {about}", job.verb()).trim_end().to_owned();
        let tells = matches!(job, Job::Telling(_));
        Self { worker, job: Some(job), name, tells, begun, deadline: begun + limit, limit, waited_until: None }
    }
}
