//! One end of the socket: whole messages in, whole messages out.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, connect, listen, setsockopt, socket,
        sockopt::{ReceiveTimeout, SendTimeout},
    },
    sys::time::TimeVal,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, FromHost, Hello, Peer, Result, ToHost, check_hello, check_peer,
    packet::{Packet, receive_packet, send_packet},
    wipe,
};

/// Largest message, in bytes. A root filesystem of 128 layers takes about 20 kB.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// How long a blocking client waits for the host, in seconds: for a place in its queue of connections, for its hello.
const PATIENCE: i64 = 5;

/// A message as it came.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Its file descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// File descriptors came with it for which this process had no room (`RLIMIT_NOFILE`). There are none in `fds` then.
    pub fds_lost: bool,
}

/// A connected `SOCK_SEQPACKET` socket. Blocking or not is the file descriptor's own property; on a non-blocking one
/// [`Channel::send`] and [`Channel::recv`] fail with `WouldBlock`.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Connects to the host at `path` and exchanges hellos. Blocking.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused` where no host listens; [`Error::Peer`] where the host is not ours;
    /// [`Error::Version`] where it speaks another version; [`Error::Silent`] where it does not answer.
    pub fn connect(path: &Path, program: &str) -> Result<Self> {
        let channel = Self::open(path, program)?;
        let answer = channel.recv::<FromHost>().map_err(|error| silent_if_blocked(error, check_peer(&channel).ok()))?;
        check_hello(answer.map(|received| received.message))?;
        Ok(channel)
    }

    /// As [`Channel::connect`], but without waiting for the host's hello: the caller receives it and gives it to
    /// [`check_hello`].
    pub fn open(path: &Path, program: &str) -> Result<Self> {
        let channel = Self { socket: new_socket(SockFlag::empty())? };
        // A host that is stopped does not empty its queue of connections: when that is full, connect waits.
        let patience = TimeVal::new(PATIENCE, 0);
        setsockopt(&channel.socket, SendTimeout, &patience).map_err(io::Error::from)?;
        setsockopt(&channel.socket, ReceiveTimeout, &patience).map_err(io::Error::from)?;
        let address = UnixAddr::new(path).map_err(io::Error::from)?;
        let connected = connect(channel.socket.as_raw_fd(), &address).map_err(io::Error::from);
        connected.map_err(|error| silent_if_blocked(error.into(), None))?;
        check_peer(&channel)?;
        channel.send(&ToHost::Hello(Hello::of(program)), &[])?;
        Ok(channel)
    }

    /// Makes [`Channel::send`] and [`Channel::recv`] fail with `WouldBlock` where they would wait.
    pub fn set_nonblocking(&self) -> Result<()> {
        let flags = OFlag::from_bits_retain(fcntl(&self.socket, FcntlArg::F_GETFL).map_err(io::Error::from)?);
        fcntl(&self.socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        Ok(())
    }

    /// Makes a non-blocking listening socket at `path`, which must not exist.
    pub fn listen(path: &Path) -> Result<OwnedFd> {
        let listener = new_socket(SockFlag::SOCK_NONBLOCK)?;
        let address = UnixAddr::new(path).map_err(io::Error::from)?;
        bind(listener.as_raw_fd(), &address).map_err(io::Error::from)?;
        listen(&listener, Backlog::new(128).map_err(io::Error::from)?).map_err(io::Error::from)?;
        Ok(listener)
    }

    /// Takes the next connection of a listening socket, as a non-blocking channel whose peer is checked.
    pub fn accept(listener: &OwnedFd) -> Result<Self> {
        let fd =
            accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK).map_err(io::Error::from)?;
        // SAFETY: accept4 returned a new descriptor that nobody else owns.
        let channel = Self { socket: unsafe { OwnedFd::from_raw_fd(fd) } };
        check_peer(&channel)?;
        Ok(channel)
    }

    /// Sends one message with file descriptors, all or nothing.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over [`MAX_MESSAGE`]; `WouldBlock` where the peer does not keep up.
    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let bytes = postcard::to_stdvec(message)?;
        if bytes.len() > MAX_MESSAGE {
            return Err(Error::TooLarge { size: bytes.len(), limit: MAX_MESSAGE });
        }
        Ok(send_packet(&self.socket, &bytes, fds)?)
    }

    /// Receives one message and its file descriptors; `None` when the peer has closed.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::TooLarge`] for a packet that is no message: the connection is of no use then.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let Packet { size, fds, cut, fds_lost } = receive_packet(&self.socket, &mut buffer, 0)?;
        if cut {
            return Err(Error::TooLarge { size, limit: MAX_MESSAGE });
        }
        if size == 0 {
            return Ok(None);
        }
        let message = postcard::from_bytes(&buffer[..size]);
        // What is freed stays in the host's memory, of which every container has a copy.
        wipe(&mut buffer[..size]);
        Ok(Some(Received { message: message?, fds, fds_lost }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<OwnedFd> for Channel {
    /// `socket` must be a connected `SOCK_SEQPACKET` socket.
    fn from(socket: OwnedFd) -> Self {
        Self { socket }
    }
}

/// What a time-out of the socket means.
fn silent_if_blocked(error: Error, peer: Option<Peer>) -> Error {
    match error {
        Error::Io(io) if io.kind() == io::ErrorKind::WouldBlock => Error::Silent { pid: peer.map(|peer| peer.pid) },
        error => error,
    }
}

fn new_socket(flags: SockFlag) -> io::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None).map_err(Into::into)
}
