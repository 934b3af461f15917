//! Sockets.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::{
    event::{PollFd, PollFlags},
    io::{Errno, retry_on_intr},
    net::{
        AddressFamily, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddrAny, SocketAddrUnix, SocketAddrV4, SocketAddrV6,
        SocketFlags, SocketType, sockopt,
    },
};

use super::file;
use crate::memory::Pieces;

/// Bytes of the family in an address of AF_UNIX (unix(7)).
const FAMILY: usize = 2;
/// The longest path there (`sun_path`), in bytes. It may have no zero at its end.
pub const LONGEST_PATH: usize = 108;

/// Where a socket is, or is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Of IPv4, with a port.
    V4([u8; 4], u16),
    /// Of IPv6, with a port.
    V6([u8; 16], u16),
    /// A path; empty for a socket without a name. One that begins with a zero is a name without a file (unix(7)).
    Unix(Vec<u8>),
}

impl Address {
    fn to_kernel(&self) -> Result<SocketAddrAny, Errno> {
        Ok(match self {
            Self::V4(host, port) => SocketAddrV4::new(Ipv4Addr::from(*host), *port).into(),
            Self::V6(host, port) => SocketAddrV6::new(Ipv6Addr::from(*host), *port, 0, 0).into(),
            Self::Unix(path) => match path.split_first() {
                None => return Err(Errno::INVAL),
                Some((0, name)) => SocketAddrUnix::new_abstract_name(name)?.into(),
                Some(_) => SocketAddrUnix::new(path.as_slice())?.into(),
            },
        })
    }

    /// As `socket` takes it: to one of IPv4, an address of IPv4 that is written as one of IPv6 (RFC 4291, 2.5.5.2) is what it
    /// stands for. Go writes so what it has looked up.
    fn to_kernel_of(&self, socket: BorrowedFd<'_>) -> Result<SocketAddrAny, Errno> {
        if let Self::V6(host, port) = self
            && let Some(host) = Ipv6Addr::from(*host).to_ipv4_mapped()
            && sockopt::socket_domain(socket)? == AddressFamily::INET
        {
            return Ok(SocketAddrV4::new(host, *port).into());
        }
        self.to_kernel()
    }

    fn of_kernel(address: SocketAddrAny) -> Result<Self, Errno> {
        Ok(match address.address_family() {
            AddressFamily::INET => {
                let address = SocketAddrV4::try_from(address)?;
                Self::V4(address.ip().octets(), address.port())
            }
            AddressFamily::INET6 => {
                let address = SocketAddrV6::try_from(address)?;
                Self::V6(address.ip().octets(), address.port())
            }
            AddressFamily::UNIX => {
                // By hand: rustix 1.1.6 panics at a path of 108 bytes, which a peer may have.
                let length = (address.addr_len() as usize).clamp(FAMILY, FAMILY + LONGEST_PATH);
                // SAFETY: an address has room for more.
                let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr().cast::<u8>(), length) };
                let name = &bytes[FAMILY..];
                let is_path = name.first() != Some(&0);
                let end = name.iter().position(|byte| is_path && *byte == 0).unwrap_or(name.len());
                Self::Unix(name[..end].to_vec())
            }
            _ => return Err(Errno::AFNOSUPPORT),
        })
    }
}

/// Whether a socket carries messages, not a stream of bytes.
pub fn carries_messages(socket: BorrowedFd<'_>) -> bool {
    sockopt::socket_type(socket).is_ok_and(|kind| kind == SocketType::DGRAM)
}

/// Opens a socket.
///
/// # Errors
/// Of socket(2).
pub fn open(family: AddressFamily, kind: SocketType) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
}

/// Gives a socket an address; with `shared`, a port that others of the same user have who share it.
///
/// # Errors
/// Of bind(2).
pub fn bind(socket: BorrowedFd<'_>, address: &Address, shared: bool) -> Result<(), Errno> {
    // Without a port the kernel chooses one that nobody has, and with this option it may choose one that others share.
    let port = match address {
        Address::V4(_, port) | Address::V6(_, port) => *port,
        Address::Unix(_) => 0,
    };
    if shared && port != 0 {
        sockopt::set_socket_reuseport(socket, true)?;
    }
    rustix::net::bind(socket, &address.to_kernel_of(socket)?)
}

/// Connects a socket.
///
/// # Errors
/// Of connect(2).
pub fn connect(socket: BorrowedFd<'_>, address: &Address) -> Result<(), Errno> {
    let to = address.to_kernel_of(socket)?;
    match (rustix::net::connect(socket, &to), address) {
        // A path's is given up, and tried anew.
        (Err(Errno::INTR), Address::Unix(_)) => retry_on_intr(|| rustix::net::connect(socket, &to)),
        // It goes on by itself (connect(2), EINTR), and what came of it is the socket's to tell.
        (Err(Errno::INTR), _) => {
            let mut files = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
            super::poll::wait(&mut files, &[])?;
            sockopt::socket_error(socket)?
        }
        (result, _) => result,
    }
}

/// Accepts a connection.
///
/// # Errors
/// Of accept4(2).
pub fn accept(socket: BorrowedFd<'_>, nonblocking: bool) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | if nonblocking { SocketFlags::NONBLOCK } else { SocketFlags::empty() };
    retry_on_intr(|| rustix::net::accept_with(socket, flags))
}

/// Its own address.
///
/// # Errors
/// Of getsockname(2).
pub fn local(socket: BorrowedFd<'_>) -> Result<Address, Errno> {
    Address::of_kernel(rustix::net::getsockname(socket)?)
}

/// Its peer's address.
///
/// # Errors
/// Of getpeername(2).
pub fn peer(socket: BorrowedFd<'_>) -> Result<Address, Errno> {
    match rustix::net::getpeername(socket)? {
        Some(address) => Address::of_kernel(address),
        None => Ok(Address::Unix(Vec::new())),
    }
}

/// Ends what is received, what is sent, or both.
///
/// # Errors
/// Of shutdown(2).
pub fn shut_down(socket: BorrowedFd<'_>, how: Shutdown) -> Result<(), Errno> {
    rustix::net::shutdown(socket, how)
}

/// What was received.
#[derive(Debug)]
pub struct Received {
    /// How many bytes.
    pub bytes: u32,
    /// Whether a message had more bytes than there was room for.
    pub truncated: bool,
    /// From where, if the socket tells.
    pub from: Option<Address>,
}

/// Receives into pieces of memory. `flags` are `MSG_…` of recv(2).
///
/// # Errors
/// Of recvmsg(2).
pub fn receive(socket: BorrowedFd<'_>, pieces: &mut Pieces, flags: i32, wants_sender: bool) -> Result<Received, Errno> {
    // SAFETY: for these two structures all zeros are a value.
    let (mut from, mut message): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    if wants_sender {
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of_val(&from) as u32;
    }
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message names memory that lives through the call: the guest's, and room for one address.
    let bytes = retry_on_intr(|| file::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) }))?;
    // Without an address there is a length of 0, and without a name of AF_UNIX one of 2 or 0.
    let from = match message.msg_namelen {
        0 => None,
        length => {
            // SAFETY: the kernel has written so much of an address.
            let address = unsafe { SocketAddrAny::read((&raw const from).cast(), length) };
            Address::of_kernel(address).ok()
        }
    };
    Ok(Received { bytes, truncated: message.msg_flags & libc::MSG_TRUNC != 0, from })
}

/// The same of a stream, which has no messages to be cut and tells no sender: of one piece by the shorter system call.
///
/// # Errors
/// Of recvfrom(2) and recvmsg(2).
pub fn receive_stream(socket: BorrowedFd<'_>, pieces: &mut Pieces, flags: i32) -> Result<u32, Errno> {
    let [piece] = pieces.as_slice() else { return Ok(receive(socket, pieces, flags, false)?.bytes) };
    let (fd, nobody) = (socket.as_raw_fd(), std::ptr::null_mut());
    retry_on_intr(|| {
        // SAFETY: the piece is the guest's memory, which lives through the call; no address is asked for.
        file::result(unsafe { libc::recvfrom(fd, piece.iov_base, piece.iov_len, flags, nobody, std::ptr::null_mut()) })
    })
}

/// Sends pieces of memory, to an address if one is given; the number of bytes.
///
/// # Errors
/// Of sendmsg(2); a connection that is gone is `EPIPE` and no signal.
pub fn send(socket: BorrowedFd<'_>, pieces: &mut Pieces, to: Option<&Address>) -> Result<u32, Errno> {
    if let (None, [piece]) = (to, pieces.as_slice()) {
        let (fd, flags, nobody) = (socket.as_raw_fd(), libc::MSG_NOSIGNAL, std::ptr::null());
        return retry_on_intr(|| {
            // SAFETY: the piece is the guest's memory, which lives through the call and is only read.
            file::result(unsafe { libc::sendto(fd, piece.iov_base, piece.iov_len, flags, nobody, 0) })
        });
    }
    let to = to.map(|to| to.to_kernel_of(socket)).transpose()?;
    // SAFETY: for this structure all zeros are a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    if let Some(to) = &to {
        message.msg_name = to.as_ptr().cast_mut().cast();
        message.msg_namelen = to.addr_len();
    }
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    // SAFETY: as above, and all of it is only read.
    retry_on_intr(|| file::result(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) }))
}

/// Reads an option of a socket's own level (`SOL_SOCKET`, socket(7)) to `value`; how many bytes it has.
///
/// # Errors
/// Of getsockopt(2).
pub fn option(socket: BorrowedFd<'_>, name: i32, value: &mut [u8]) -> Result<u32, Errno> {
    let mut length = value.len().min(u32::MAX as usize) as libc::socklen_t;
    let fd = socket.as_raw_fd();
    // SAFETY: the kernel writes no more than the length that it is told.
    let code = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, value.as_mut_ptr().cast(), &raw mut length) };
    file::result(code as isize).map(|_| length)
}

/// Sets an option of a socket's own level.
///
/// # Errors
/// Of setsockopt(2).
pub fn set_option(socket: BorrowedFd<'_>, name: i32, value: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel reads so many bytes.
    let code = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value.as_ptr().cast(), length) };
    file::result(code as isize).map(drop)
}
