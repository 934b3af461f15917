//! The shim's connection to the engine host: requests with their replies, and the ends of containers as they come.
//!
//! A host that dies takes nothing with it but the requests under way: containers run on, the next request starts a
//! new host, and those who wait for exits are told that none will come any more.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use log::{debug, warn};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot},
};
use wasmedge_shim_protocol::{
    Channel, ContainerKey, Create, Created, Deleted, Error as ChannelError, Exec, Exit, Failure, FromHost, Outcome,
    Pidfd, Reply, Request, ToHost, Update, check_hello,
};

use super::Launcher;
use crate::error::{Result, TaskError};

/// How many hosts may be lost one after the other before a deletion is given up.
const DELETE_RETRIES: usize = 20;

/// News from the host that no request asked for.
#[derive(Debug)]
pub enum Notice {
    /// A container ended.
    Exited(Exit),
    /// The host is gone: there will be no [`Notice::Exited`] for containers that it made.
    HostLost,
}

/// Talks to the host, starting it where need be.
pub struct EngineClient {
    launcher: Launcher,
    /// A channel to the first host, until it is used.
    first: Mutex<Option<Channel>>,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
    notices: mpsc::UnboundedSender<Notice>,
    next_id: AtomicU64,
}

type Answer = (Outcome, Vec<OwnedFd>);

struct Connection {
    channel: AsyncFd<Channel>,
    /// Requests under way; `None` once the connection is at its end.
    pending: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

/// Why a request has no reply.
enum Lost {
    /// The host ended while it was under way.
    Host,
    /// It could not even be sent.
    Unsent(String),
}

impl EngineClient {
    /// A client that starts its hosts by `launcher`, unless the first is at the other end of a channel where a hello was
    /// sent. News go to the receiver.
    pub fn new(launcher: Launcher, first: Option<Channel>) -> (Self, mpsc::UnboundedReceiver<Notice>) {
        let (notices, receiver) = mpsc::unbounded_channel();
        let (first, connection) = (Mutex::new(first), tokio::sync::Mutex::new(None));
        (Self { launcher, first, connection, notices, next_id: AtomicU64::new(1) }, receiver)
    }

    /// Creates a container; its init, and the master of its terminal if it has one. After an error nothing is left of
    /// it.
    pub async fn create(&self, create: Create, stdio: Vec<OwnedFd>) -> Result<(Created, Pidfd, Option<OwnedFd>)> {
        let key = create.key.clone();
        match self.request(Request::Create(Box::new(create)), &stdio).await {
            Ok((Ok(Reply::Created(created)), fds)) => {
                let (pidfd, console) = process_fds(fds)?;
                Ok((created, pidfd, console))
            }
            Ok((Ok(_), _)) => Err(unexpected_reply()),
            Ok((Err(failure), _)) => Err(failure.into()),
            Err(Lost::Unsent(cause)) => Err(TaskError::other(cause)),
            Err(Lost::Host) => {
                let cleaned = self.delete(&key).await.err();
                let also = cleaned.map(|error| format!(" (and cleaning up failed: {error})")).unwrap_or_default();
                Err(TaskError::other(format!("the engine host ended while it was creating {key}{also}")))
            }
        }
    }

    /// Runs another program in a container; its process id, and the master of its terminal if it has one. `fds` are
    /// the program's description and its standard streams.
    pub async fn exec(&self, exec: Exec, fds: Vec<OwnedFd>) -> Result<(u32, Pidfd, Option<OwnedFd>)> {
        let key = exec.key.clone();
        match self.request(Request::Exec(exec), &fds).await {
            Ok((Ok(Reply::Executed(pid)), fds)) => {
                let (pidfd, console) = process_fds(fds)?;
                Ok((pid, pidfd, console))
            }
            Ok((Ok(_), _)) => Err(unexpected_reply()),
            Ok((Err(failure), _)) => Err(failure.into()),
            Err(lost) => Err(lost.describe("running a program in", &key)),
        }
    }

    /// Changes a container's resources.
    pub async fn update(&self, update: Update) -> Result<()> {
        let key = update.key.clone();
        match self.request(Request::Update(update), &[]).await {
            Ok((Ok(Reply::Updated), _)) => Ok(()),
            Ok((Ok(_), _)) => Err(unexpected_reply()),
            Ok((Err(failure), _)) => Err(failure.into()),
            Err(lost) => Err(lost.describe("updating", &key)),
        }
    }

    /// Starts a created container.
    pub async fn start(&self, key: &ContainerKey) -> Result<()> {
        match self.request(Request::Start(key.clone()), &[]).await {
            Ok((Ok(Reply::Started), _)) => Ok(()),
            Ok((Ok(_), _)) => Err(unexpected_reply()),
            Ok((Err(failure), _)) => Err(failure.into()),
            Err(lost) => Err(lost.describe("starting", key)),
        }
    }

    /// Removes a container. Since nothing happens to what is gone already, the next host is asked when one is lost.
    pub async fn delete(&self, key: &ContainerKey) -> Result<Deleted> {
        let mut answer = self.request(Request::Delete(key.clone()), &[]).await;
        for _ in 0..DELETE_RETRIES {
            let Err(Lost::Host) = answer else { break };
            answer = self.request(Request::Delete(key.clone()), &[]).await;
        }
        match answer {
            Ok((Ok(Reply::Deleted(deleted)), _)) => Ok(deleted),
            Ok((Ok(_), _)) => Err(unexpected_reply()),
            Ok((Err(failure), _)) => Err(failure.into()),
            Err(lost) => Err(lost.describe("deleting", key)),
        }
    }

    async fn request(&self, request: Request, fds: &[OwnedFd]) -> std::result::Result<Answer, Lost> {
        let connection = self.connection().await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        if !connection.expect(id, sender) {
            return Err(Lost::Host);
        }
        let message = ToHost::Request { id, request };
        match connection.send(&message, fds).await {
            Ok(()) => receiver.await.map_err(|_| Lost::Host),
            Err(ChannelError::Io(_)) => Err(Lost::Host),
            Err(error) => Err(Lost::Unsent(error.to_string())),
        }
    }

    async fn connection(&self) -> std::result::Result<Arc<Connection>, Lost> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| connection.is_alive()) {
            return Ok(connection.clone());
        }
        let connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                debug!("no engine host yet: {error:#}");
                self.launcher.ensure_running().await.map_err(|error| Lost::Unsent(format!("{error:#}")))?;
                // It was there a moment ago.
                self.connect().await.map_err(|_| Lost::Host)?
            }
        };
        *current = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self) -> anyhow::Result<Arc<Connection>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let channel = first.map_or_else(|| self.launcher.open(), Ok)?;
        channel.set_nonblocking()?;
        // SAFETY: the AsyncFd owns the channel, whose socket stays open and the same for as long.
        let channel = unsafe { AsyncFd::register(channel) }.map_err(io::Error::from)?;
        let connection = Arc::new(Connection { channel, pending: Mutex::new(Some(HashMap::new())) });
        check_hello(connection.receive().await?.map(|(message, _)| message))?;
        tokio::spawn(read(connection.clone(), self.notices.clone()));
        Ok(connection)
    }
}

impl Connection {
    fn pending(&self) -> std::sync::MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_alive(&self) -> bool {
        self.pending().is_some()
    }

    /// Registers a request; `false` where the connection has ended.
    fn expect(&self, id: u64, sender: oneshot::Sender<Answer>) -> bool {
        self.pending().as_mut().map(|pending| pending.insert(id, sender)).is_some()
    }

    async fn send(&self, message: &ToHost, fds: &[OwnedFd]) -> wasmedge_shim_protocol::Result<()> {
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            let mut ready = self.channel.ready(Interest::WRITABLE).await?;
            match self.channel.get_ref().send(message, &borrowed) {
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }

    async fn receive(&self) -> wasmedge_shim_protocol::Result<Option<(FromHost, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.channel.readable().await?;
            match self.channel.get_ref().recv() {
                Err(ChannelError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                received => return received,
            }
        }
    }
}

/// Hands out what comes until the connection ends.
async fn read(connection: Arc<Connection>, notices: mpsc::UnboundedSender<Notice>) {
    loop {
        match connection.receive().await {
            Ok(Some((FromHost::Reply { id, outcome }, fds))) => {
                let sender = connection.pending().as_mut().and_then(|pending| pending.remove(&id));
                // Whoever asked may have given up.
                let _ = sender.map(|sender| sender.send((outcome, fds)));
            }
            Ok(Some((FromHost::Exited(exit), _))) => drop(notices.send(Notice::Exited(exit))),
            Ok(Some((FromHost::Hello(_), _))) => {}
            Ok(None) => break warn!("the engine host has ended"),
            Err(error) => break warn!("the connection to the engine host broke: {error}"),
        }
    }
    // Drops the senders, which tells those who wait.
    connection.pending().take();
    drop(notices.send(Notice::HostLost));
}

impl Lost {
    fn describe(self, doing: &str, key: &ContainerKey) -> TaskError {
        match self {
            Lost::Host => TaskError::other(format!("the engine host ended while it was {doing} {key}")),
            Lost::Unsent(cause) => TaskError::other(cause),
        }
    }
}

/// A process's descriptor, and the master of its terminal.
fn process_fds(fds: Vec<OwnedFd>) -> Result<(Pidfd, Option<OwnedFd>)> {
    let mut fds = fds.into_iter();
    let pidfd = fds.next().ok_or_else(unexpected_reply)?;
    Ok((pidfd.into(), fds.next()))
}

fn unexpected_reply() -> TaskError {
    Failure::internal("the engine host gave an answer that does not fit the request").into()
}
