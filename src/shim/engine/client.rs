//! The shim's connection to the engine host: requests with their replies, and the ends of containers as they come.
//!
//! A host that dies takes nothing with it but the requests under way: containers run on, the next request starts a
//! new host, and those who wait for exits are told that none will come any more.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use log::debug;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use wasmedge_shim_protocol::{
    Channel, ContainerKey, Create, Created, Deleted, Error as ChannelError, Exec, Export, Failure, Pidfd, Reply,
    Request, Update,
};

use super::{
    Launcher,
    connection::{Answer, Connection, Lost, Notice, QUIET},
    launch::KilledAtStart,
    source::Others,
};
use crate::error::{Result, TaskError};

/// How long hosts may be lost, one after the other, before a deletion is given up: nobody asks for it again.
const DELETE_PATIENCE: Duration = Duration::from_secs(30);

/// The version of the messages that brought [`Request::Export`].
const EXPORTS: u32 = 8;

/// Talks to the host, starting it where need be.
pub struct EngineClient {
    launcher: Launcher,
    /// A channel to the first host, until it is used.
    first: Mutex<Option<Channel>>,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    notices: mpsc::UnboundedSender<Notice>,
    next_id: AtomicU64,
}

/// What there is to hold a process by.
pub struct Handles {
    /// The process.
    pub pidfd: Pidfd,
    /// The master of its terminal, if it has one.
    pub master: Option<OwnedFd>,
}

impl EngineClient {
    /// A client that starts its hosts by `launcher`, unless the first is at the other end of a channel where a hello was
    /// sent. News go to the receiver.
    pub fn new(launcher: Launcher, first: Option<Channel>) -> (Self, mpsc::UnboundedReceiver<Notice>) {
        let (notices, receiver) = mpsc::unbounded_channel();
        let (first, connection) = (Mutex::new(first), tokio::sync::Mutex::new(None));
        (Self { launcher, first, connection, notices, next_id: AtomicU64::new(1) }, receiver)
    }

    /// Creates a container. After an error nothing is left of it.
    pub async fn create(&self, create: Create, stdio: Vec<OwnedFd>) -> Result<(Created, Handles)> {
        let key = create.key.clone();
        let cause = match self.request(Request::Create(Box::new(create)), &stdio).await {
            Ok(answer) => match (answer.outcome, answer.fds_lost) {
                (Ok(Reply::Created(created)), false) => return Ok((created, handles(answer.fds)?)),
                (Ok(Reply::Created(_)), true) => no_room(&key),
                (Ok(_), _) => return Err(unexpected_reply()),
                (Err(failure), _) => return Err(failure.into()),
            },
            Err(Lost::Unsent(cause) | Lost::Killed(cause)) => return Err(TaskError::other(cause)),
            Err(Lost::Host) => format!("the engine host ended while it was creating {key}"),
        };
        // They may be what there is no room for.
        drop(stdio);
        let cleaned = self.delete(&key, false).await.err();
        let also = cleaned.map(|error| format!(" (and cleaning up failed: {error})")).unwrap_or_default();
        Err(TaskError::other(format!("{cause}{also}")))
    }

    /// Runs another program in a container; its process id, and its handles unless there was no room for them: it runs all
    /// the same. `fds` are the program's description and its standard streams.
    pub async fn exec(&self, exec: Exec, fds: Vec<OwnedFd>) -> Result<(u32, Option<Handles>)> {
        let key = exec.key.clone();
        match self.request(Request::Exec(exec), &fds).await {
            Ok(Answer { outcome: Ok(Reply::Executed(pid)), fds_lost: true, .. }) => Ok((pid, None)),
            Ok(Answer { outcome: Ok(Reply::Executed(pid)), fds, .. }) => Ok((pid, Some(handles(fds)?))),
            Ok(Answer { outcome, .. }) => Err(unfit(outcome)),
            Err(lost) => Err(lost.describe("running a program in", &key)),
        }
    }

    /// Changes a container's resources.
    pub async fn update(&self, update: Update) -> Result<()> {
        let key = update.key.clone();
        match self.request(Request::Update(update), &[]).await {
            Ok(Answer { outcome: Ok(Reply::Updated), .. }) => Ok(()),
            Ok(Answer { outcome, .. }) => Err(unfit(outcome)),
            Err(lost) => Err(lost.describe("updating", &key)),
        }
    }

    /// Starts a created container.
    pub async fn start(&self, key: &ContainerKey) -> Result<()> {
        match self.request(Request::Start(key.clone()), &[]).await {
            Ok(Answer { outcome: Ok(Reply::Started), .. }) => Ok(()),
            Ok(Answer { outcome, .. }) => Err(unfit(outcome)),
            Err(lost) => Err(lost.describe("starting", key)),
        }
    }

    /// Lets the host send a span, if it can.
    pub async fn export(&self, export: Export) {
        let current = self.connection.lock().await.clone();
        let Some(connection) = current.filter(|connection| connection.speaks(EXPORTS)) else { return };
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        // Whoever collects spans can do without this one.
        let _ = connection.request(id, Request::Export(Box::new(export)), &[]).await;
    }

    /// Removes a container; `with_siblings`, those that its shim has made as well, where the shim is gone. Since nothing
    /// happens to what is gone already, the next host is asked when one is lost.
    pub async fn delete(&self, key: &ContainerKey, with_siblings: bool) -> Result<Deleted> {
        let request = || self.request(Request::Delete { key: key.clone(), with_siblings }, &[]);
        let begin = Instant::now();
        let mut answer = request().await;
        while matches!(answer, Err(Lost::Host | Lost::Killed(_))) && begin.elapsed() < DELETE_PATIENCE {
            answer = request().await;
        }
        match answer {
            Ok(Answer { outcome: Ok(Reply::Deleted(deleted)), .. }) => Ok(deleted),
            Ok(Answer { outcome, .. }) => Err(unfit(outcome)),
            Err(lost) => Err(lost.describe("deleting", key)),
        }
    }

    /// Returns once the host leaves a request unanswered and is not well: stopped, or hung. The request stays under way,
    /// and is answered if the host comes back to life.
    pub async fn silence(&self) -> TaskError {
        loop {
            sleep(QUIET).await;
            // While there is none, making one has its own limits.
            let connection = self.connection.lock().await.clone();
            if let Some(connection) = connection
                && !connection.is_well().await
            {
                return TaskError::unavailable(connection.silent().to_string());
            }
        }
    }

    async fn request(&self, request: Request, fds: &[OwnedFd]) -> std::result::Result<Answer, Lost> {
        let connection = self.connection().await?;
        connection.request(self.next_id.fetch_add(1, Ordering::Relaxed), request, fds).await
    }

    async fn connection(&self) -> std::result::Result<Arc<Connection>, Lost> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| connection.is_alive()) {
            return Ok(connection.clone());
        }
        let unsent = |error: anyhow::Error| match error.is::<KilledAtStart>() {
            true => Lost::Killed(format!("{error:#}")),
            false => Lost::Unsent(format!("{error:#}")),
        };
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) if is_final(&error) => return Err(unsent(error)),
            Err(error) => {
                debug!("no engine host yet: {error:#}");
                self.launcher.ensure_running(Others::Keep).await.map_err(unsent)?;
                // It was there a moment ago.
                self.connect().await.map_err(|error| if is_final(&error) { unsent(error) } else { Lost::Host })?
            }
        };
        *current = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self) -> anyhow::Result<Arc<Connection>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let channel = first.map_or_else(|| self.launcher.open(), Ok)?;
        Ok(Connection::new(channel, self.notices.clone()).await?)
    }
}

/// Whether there is a host, with which nothing can be done.
fn is_final(error: &anyhow::Error) -> bool {
    use ChannelError::{Peer, Silent, Version};
    matches!(error.downcast_ref(), Some(Version { .. } | Silent { .. } | Peer { .. }))
}

impl Lost {
    fn describe(self, doing: &str, key: &ContainerKey) -> TaskError {
        match self {
            Lost::Host => TaskError::other(format!("the engine host ended while it was {doing} {key}")),
            Lost::Unsent(cause) | Lost::Killed(cause) => TaskError::other(cause),
        }
    }
}

fn handles(fds: Vec<OwnedFd>) -> Result<Handles> {
    let mut fds = fds.into_iter();
    let pidfd = fds.next().ok_or_else(unexpected_reply)?;
    Ok(Handles { pidfd: pidfd.into(), master: fds.next() })
}

/// That a process was made of which this one has no handle, and which is ended therefore.
pub fn no_room(key: &ContainerKey) -> String {
    format!("the shim has no room for the file descriptors of a process of {key}")
}

fn unfit(outcome: wasmedge_shim_protocol::Outcome) -> TaskError {
    outcome.map_or_else(TaskError::from, |_| unexpected_reply())
}

fn unexpected_reply() -> TaskError {
    Failure::internal("the engine host gave an answer that does not fit the request").into()
}
