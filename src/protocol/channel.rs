//! One end of the socket: whole messages in, whole messages out.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use nix::{
    cmsg_space,
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{
        AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4,
        bind, connect, listen, recvmsg, sendmsg, socket,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, FromHost, Hello, PROTOCOL_VERSION, Result, ToHost, check_peer, wipe};

/// Largest message, in bytes. A root filesystem of 128 layers takes about 20 kB.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Most file descriptors with one message.
pub const MAX_FDS: usize = 4;

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
    /// [`Error::Version`] where it speaks another version.
    pub fn connect(path: &Path, program: &str) -> Result<Self> {
        let channel = Self::open(path, program)?;
        let answer = channel.recv::<FromHost>()?;
        check_hello(answer.map(|(message, _)| message))?;
        Ok(channel)
    }

    /// As [`Channel::connect`], but without waiting for the host's hello: the caller receives it and gives it to
    /// [`check_hello`].
    pub fn open(path: &Path, program: &str) -> Result<Self> {
        let channel = Self { socket: new_socket(SockFlag::empty())? };
        let address = UnixAddr::new(path).map_err(io::Error::from)?;
        connect(channel.socket.as_raw_fd(), &address).map_err(io::Error::from)?;
        check_peer(&channel)?;
        channel.send(&ToHost::Hello(Hello { protocol: PROTOCOL_VERSION, program: program.to_owned() }), &[])?;
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
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        loop {
            let iov = [IoSlice::new(&bytes)];
            match sendmsg::<()>(self.socket.as_raw_fd(), &iov, control, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
    }

    /// Receives one message and its file descriptors (close-on-exec); `None` when the peer has closed.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::TooLarge`] for a packet that is no message: the connection is of no use then.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let (size, fds, flags) = self.recv_packet(&mut buffer)?;
        if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
            return Err(Error::TooLarge { size, limit: MAX_MESSAGE });
        }
        if size == 0 {
            return Ok(None);
        }
        let message = postcard::from_bytes(&buffer[..size]);
        // What is freed stays in the host's memory, of which every container has a copy.
        wipe(&mut buffer[..size]);
        Ok(Some((message?, fds)))
    }

    fn recv_packet(&self, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>, MsgFlags)> {
        let mut control = cmsg_space!([RawFd; MAX_FDS]);
        loop {
            let mut iov = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut iov, Some(&mut control), flags) {
                Ok(packet) => {
                    let mut fds = Vec::new();
                    for message in packet.cmsgs().map_err(io::Error::from)? {
                        if let ControlMessageOwned::ScmRights(raw) = message {
                            // SAFETY: the kernel has just installed these descriptors for us.
                            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                        }
                    }
                    return Ok((packet.bytes, fds, packet.flags));
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
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

/// Whether the host's first message is a hello of this protocol version.
pub fn check_hello(message: Option<FromHost>) -> Result<()> {
    match message {
        Some(FromHost::Hello(hello)) if hello.protocol == PROTOCOL_VERSION => Ok(()),
        Some(FromHost::Hello(hello)) => Err(Error::Version { theirs: hello.protocol, ours: PROTOCOL_VERSION }),
        Some(_) | None => Err(io::Error::from(io::ErrorKind::ConnectionAborted).into()),
    }
}

fn new_socket(flags: SockFlag) -> io::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | flags, None).map_err(Into::into)
}
