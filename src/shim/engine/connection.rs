//! One connection to an engine host: numbered requests, their answers, and what comes unasked.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use log::warn;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};
use wasmedge_shim_protocol::{
    Channel, Error, Exit, FromHost, Outcome, Received, Request, Result, ToHost, check_hello, check_peer,
};

/// How long a host that has requests to answer may say nothing before it is asked whether it is well.
pub const QUIET: Duration = Duration::from_secs(2);

/// How long it may take to answer then, and to answer a hello. It does nothing that blocks.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// News from the host that no request asked for.
#[derive(Debug)]
pub enum Notice {
    /// A container ended.
    Exited(Exit),
    /// The host is gone: there will be no [`Notice::Exited`] for containers that it made.
    HostLost,
}

/// What came of a request.
pub struct Answer {
    /// The host's word.
    pub outcome: Outcome,
    /// What came with it.
    pub fds: Vec<OwnedFd>,
    /// There was no room for what came with it.
    pub fds_lost: bool,
}

/// Why a request has no answer.
pub enum Lost {
    /// The host ended while it was under way.
    Host,
    /// It could not even be sent, as each host was killed while it started.
    Killed(String),
    /// It could not even be sent.
    Unsent(String),
}

/// A connection over which hellos were exchanged.
pub struct Connection {
    channel: AsyncFd<Channel>,
    /// The host's process id.
    host: i32,
    /// Requests under way; `None` once the connection is at its end.
    pending: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
    /// The version of the messages that both ends speak.
    version: OnceLock<u32>,
    /// When something came last.
    heard: watch::Sender<Instant>,
}

impl Connection {
    /// Over a channel where a hello was sent. News go to `notices`.
    pub async fn new(channel: Channel, notices: mpsc::UnboundedSender<Notice>) -> Result<Arc<Self>> {
        channel.set_nonblocking()?;
        let host = check_peer(&channel)?.pid;
        // SAFETY: the AsyncFd owns the channel, whose socket stays open and the same for as long.
        let channel = unsafe { AsyncFd::register(channel) }.map_err(io::Error::from)?;
        let (pending, heard) = (Mutex::new(Some(HashMap::new())), watch::Sender::new(Instant::now()));
        let connection = Arc::new(Self { channel, host, pending, version: OnceLock::new(), heard });
        let hello = timeout(ANSWER_TIMEOUT, connection.receive()).await.map_err(|_| connection.silent())??;
        let version = check_hello(hello.map(|received| received.message))?;
        // Nobody has asked yet.
        let _ = connection.version.set(version);
        tokio::spawn(read(connection.clone(), notices));
        Ok(connection)
    }

    /// Sends a request and waits for its answer, as long as there is a host to give one.
    pub async fn request(&self, id: u64, request: Request, fds: &[OwnedFd]) -> std::result::Result<Answer, Lost> {
        let (sender, receiver) = oneshot::channel();
        if self.pending().as_mut().map(|pending| pending.insert(id, sender)).is_none() {
            return Err(Lost::Host);
        }
        match self.send(&ToHost::Request { id, request }, fds).await {
            Ok(()) => receiver.await.map_err(|_| Lost::Host),
            Err(error) => {
                self.pending().as_mut().map(|pending| pending.remove(&id));
                match error {
                    Error::Io(_) => Err(Lost::Host),
                    error => Err(Lost::Unsent(error.to_string())),
                }
            }
        }
    }

    /// Whether the host understands what this version of the messages brought.
    pub fn speaks(&self, version: u32) -> bool {
        self.version.get().is_some_and(|theirs| *theirs >= version)
    }

    /// Whether the other end has not been closed.
    pub fn is_alive(&self) -> bool {
        self.pending().is_some()
    }

    /// Whether the host does its work: `false` where a request is under way and it does not even answer a ping.
    pub async fn is_well(&self) -> bool {
        let asked = Instant::now();
        let mut heard = self.heard.subscribe();
        let waiting = self.pending().as_ref().is_some_and(|pending| !pending.is_empty());
        if !waiting || *heard.borrow_and_update() + QUIET > asked {
            return true;
        }
        let answer = async {
            // A connection that breaks has its own way to tell.
            if self.send(&ToHost::Ping, &[]).await.is_ok() {
                let _ = heard.changed().await;
            }
        };
        timeout(ANSWER_TIMEOUT, answer).await.is_ok() || !self.is_alive()
    }

    /// That it is not.
    pub fn silent(&self) -> Error {
        Error::Silent { pid: Some(self.host) }
    }

    fn pending(&self) -> MutexGuard<'_, Option<HashMap<u64, oneshot::Sender<Answer>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, message: &ToHost, fds: &[OwnedFd]) -> Result<()> {
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        loop {
            let mut ready = self.channel.ready(Interest::WRITABLE).await?;
            match self.channel.get_ref().send(message, &borrowed) {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }

    async fn receive(&self) -> Result<Option<Received<FromHost>>> {
        loop {
            let mut ready = self.channel.readable().await?;
            match self.channel.get_ref().recv() {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                received => return received,
            }
        }
    }

    fn hand_out(&self, Received { message, fds, fds_lost }: Received<FromHost>) -> Option<Notice> {
        match message {
            FromHost::Reply { id, outcome } => {
                let sender = self.pending().as_mut().and_then(|pending| pending.remove(&id));
                // Whoever asked may have ended with the daemon.
                let _ = sender.map(|sender| sender.send(Answer { outcome, fds, fds_lost }));
                None
            }
            FromHost::Exited(exit) => Some(Notice::Exited(exit)),
            FromHost::ExitedOutOfMemory(mut exit) => {
                exit.status.out_of_memory = true;
                Some(Notice::Exited(exit))
            }
            FromHost::Hello(_) | FromHost::Pong => None,
        }
    }
}

/// Hands out what comes until the connection ends.
async fn read(connection: Arc<Connection>, notices: mpsc::UnboundedSender<Notice>) {
    loop {
        match connection.receive().await {
            Ok(Some(received)) => {
                connection.heard.send_replace(Instant::now());
                let _ = connection.hand_out(received).map(|notice| notices.send(notice));
            }
            Ok(None) => break warn!("the engine host has ended"),
            Err(error) => break warn!("the connection to the engine host broke: {error}"),
        }
    }
    // Drops the senders, which tells those who wait.
    connection.pending().take();
    drop(notices.send(Notice::HostLost));
}
