//! `sock_…`: what preview 1 has of them, and WasmEdge's (its `wasifunc.cpp`), in the form from before its version 0.12 and in
//! that of today. Where the two differ in their parameters a module imports the one that it was made for; where they do
//! not, addresses of both are taken.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    io::Errno,
    net::{AddressFamily, Shutdown, SocketType},
};

use super::{Errno as WasiErrno, Outcome, address};
use crate::{
    Descriptor, Rights, Wasi,
    descriptor::Detail,
    memory::{Guest, MOST_PIECES},
    system::socket::{self, Address, Received},
};

/// `address_family`.
pub const INET4: u32 = 1;
pub const INET6: u32 = 2;
const UNIX: u32 = 3;

/// `sock_type`.
pub const DATAGRAM: u32 = 1;
pub const STREAM: u32 = 2;

/// `riflags`.
const PEEK: u32 = 1;
const WAIT_ALL: u32 = 1 << 1;

/// `roflags`: a message was longer than there was room for.
const TRUNCATED: u16 = 1;

fn opened(wasi: &mut Wasi, guest: &mut Guest<'_>, file: OwnedFd, to: u32) -> Outcome {
    let fd = wasi.table.insert(Descriptor::new(file)?);
    Ok(guest.write_u32(to, fd)?)
}

pub fn sock_open(wasi: &mut Wasi, guest: &mut Guest<'_>, family: u32, kind: u32, to: u32) -> Outcome {
    let family = match family {
        INET4 => AddressFamily::INET,
        INET6 => AddressFamily::INET6,
        UNIX => AddressFamily::UNIX,
        _ => return Err(Errno::AFNOSUPPORT.into()),
    };
    let kind = match kind {
        DATAGRAM => SocketType::DGRAM,
        STREAM => SocketType::STREAM,
        _ => return Err(Errno::INVAL.into()),
    };
    guest.check(to, 4)?;
    opened(wasi, guest, socket::open(family, kind)?, to)
}

/// Reads an address. A path in a file system has no directory that it begins in, so there must be no walls.
fn address_at(wasi: &Wasi, guest: &Guest<'_>, record: u32, port: u32) -> Result<Address, Errno> {
    match address::read(guest, record, port)? {
        Address::Unix(path) if wasi.walled && path.first() != Some(&0) => Err(Errno::PERM),
        address => Ok(address),
    }
}

pub fn sock_bind(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, port: u32) -> Outcome {
    let socket = wasi.table.get(fd)?;
    Ok(socket::bind(socket.as_fd(), &address_at(wasi, guest, to, port)?, wasi.reuse_port)?)
}

pub fn sock_connect(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, port: u32) -> Outcome {
    let socket = wasi.table.get(fd)?;
    Ok(socket::connect(socket.as_fd(), &address_at(wasi, guest, to, port)?)?)
}

pub fn sock_listen(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, backlog: u32) -> Outcome {
    Ok(rustix::net::listen(wasi.table.get(fd)?, backlog.cast_signed())?)
}

/// `fdflags`: calls for the connection do not wait.
const NONBLOCK: u32 = 1 << 2;

pub fn sock_accept(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, flags: u32, to: u32) -> Outcome {
    if flags & !NONBLOCK != 0 {
        return Err(Errno::INVAL.into());
    }
    let listener = wasi.table.with(fd, Rights::SOCK_ACCEPT)?;
    guest.check(to, 4)?;
    let connection = socket::accept(listener.as_fd(), flags & NONBLOCK != 0)?;
    opened(wasi, guest, connection, to)
}

pub fn sock_accept_v1(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32) -> Outcome {
    sock_accept(wasi, guest, fd, 0, to)
}

pub fn sock_shutdown(wasi: &mut Wasi, _: &mut Guest<'_>, fd: u32, how: u32) -> Outcome {
    let how = match how {
        1 => Shutdown::Read,
        2 => Shutdown::Write,
        3 => Shutdown::Both,
        _ => return Err(Errno::INVAL.into()),
    };
    let socket = wasi.table.with(fd, Rights::SOCK_SHUTDOWN)?;
    Ok(socket::shut_down(socket.as_fd(), how)?)
}

fn receive(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: (u32, u32),
    flags: u32,
    (bytes, out): (u32, u32),
    wants_sender: bool,
) -> Result<Option<Address>, super::Stop> {
    if flags & !(PEEK | WAIT_ALL) != 0 {
        return Err(Errno::INVAL.into());
    }
    let mut kernel = 0;
    for (wasi, flag) in [(PEEK, libc::MSG_PEEK), (WAIT_ALL, libc::MSG_WAITALL)] {
        kernel |= if flags & wasi != 0 { flag } else { 0 };
    }
    let socket = wasi.table.get(fd)?;
    guest.check(bytes, 4)?;
    guest.check(out, 2)?;
    let mut pieces = guest.pieces(list.0, list.1)?;
    let received = if wants_sender || socket.detail == Detail::Datagrams {
        socket::receive(socket.as_fd(), &mut pieces, kernel, wants_sender)?
    } else {
        let bytes = socket::receive_stream(socket.as_fd(), &mut pieces, kernel)?;
        Received { bytes, truncated: false, from: None }
    };
    guest.write_u32(bytes, received.bytes)?;
    guest.write(out, &if received.truncated { TRUNCATED } else { 0 }.to_le_bytes())?;
    Ok(received.from)
}

pub fn sock_recv(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    flags: u32,
    bytes: u32,
    out: u32,
) -> Outcome {
    receive(wasi, guest, fd, (list, count), flags, (bytes, out), false).map(drop)
}

/// Room for an address that a peer may have. A connection's messages bring none.
const ROOM: [u32; 3] = [4, 16, 128];

pub fn sock_recv_from(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    from: u32,
    flags: u32,
    port: u32,
    bytes: u32,
    out: u32,
) -> Outcome {
    address::check(guest, from, &ROOM)?;
    guest.check(port, 2)?;
    if let Some(peer) = receive(wasi, guest, fd, (list, count), flags, (bytes, out), true)? {
        // Whose address does not fit is not told. Programs have 16 bits for the port, or 32 that are 0.
        if let Ok(number) = address::write(guest, from, &peer) {
            guest.write(port, &number.to_le_bytes())?;
        }
    }
    Ok(())
}

pub fn sock_recv_from_v1(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    from: u32,
    flags: u32,
    bytes: u32,
    out: u32,
) -> Outcome {
    address::check(guest, from, &ROOM)?;
    if let Some(peer) = receive(wasi, guest, fd, (list, count), flags, (bytes, out), true)? {
        // As above.
        let _ = address::write(guest, from, &peer);
    }
    Ok(())
}

fn send(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, list: (u32, u32), to: Option<&Address>, bytes: u32) -> Outcome {
    let socket = wasi.table.get(fd)?;
    guest.check(bytes, 4)?;
    // A message is sent whole or not at all.
    if socket.detail == Detail::Datagrams && list.1 > MOST_PIECES {
        return Err(Errno::MSGSIZE.into());
    }
    let sent = socket::send(socket.as_fd(), &mut guest.pieces(list.0, list.1)?, to)?;
    Ok(guest.write_u32(bytes, sent)?)
}

/// There are no flags to send with.
fn no_flags(flags: u32) -> Result<(), Errno> {
    if flags == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

pub fn sock_send(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    flags: u32,
    bytes: u32,
) -> Outcome {
    no_flags(flags)?;
    send(wasi, guest, fd, (list, count), None, bytes)
}

pub fn sock_send_to(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    list: u32,
    count: u32,
    to: u32,
    port: u32,
    flags: u32,
    bytes: u32,
) -> Outcome {
    no_flags(flags)?;
    let to = address_at(wasi, guest, to, port)?;
    send(wasi, guest, fd, (list, count), Some(&to), bytes)
}

/// How an address is asked for: [`socket::local`] or [`socket::peer`].
type Ask = fn(BorrowedFd<'_>) -> Result<Address, Errno>;

/// With its family, as those from before 0.12 count it: 4 and 6.
fn tell_v1(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, ask: Ask, to: u32, family: u32, port: u32) -> Outcome {
    let found = ask(wasi.table.get(fd)?.as_fd())?;
    if matches!(found, Address::Unix(_)) {
        return Err(Errno::AFNOSUPPORT.into());
    }
    let number = address::write(guest, to, &found)?;
    guest.write_u32(family, if matches!(found, Address::V4(..)) { 4 } else { 6 })?;
    Ok(guest.write_u32(port, number.into())?)
}

fn tell(wasi: &Wasi, guest: &mut Guest<'_>, fd: u32, ask: Ask, to: u32, port: u32) -> Outcome {
    let found = ask(wasi.table.get(fd)?.as_fd())?;
    address::check(guest, to, &ROOM[2..])?;
    let number = address::write(guest, to, &found)?;
    Ok(guest.write_u32(port, number.into())?)
}

pub fn sock_getlocaladdr_v1(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    to: u32,
    family: u32,
    port: u32,
) -> Outcome {
    tell_v1(wasi, guest, fd, socket::local, to, family, port)
}

pub fn sock_getpeeraddr_v1(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    to: u32,
    family: u32,
    port: u32,
) -> Outcome {
    tell_v1(wasi, guest, fd, socket::peer, to, family, port)
}

pub fn sock_getlocaladdr(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, port: u32) -> Outcome {
    tell(wasi, guest, fd, socket::local, to, port)
}

pub fn sock_getpeeraddr(wasi: &mut Wasi, guest: &mut Guest<'_>, fd: u32, to: u32, port: u32) -> Outcome {
    tell(wasi, guest, fd, socket::peer, to, port)
}

/// `sock_opt_so`, in its order.
const OPTIONS: [i32; 15] = [
    libc::SO_REUSEADDR,
    libc::SO_TYPE,
    libc::SO_ERROR,
    libc::SO_DONTROUTE,
    libc::SO_BROADCAST,
    libc::SO_SNDBUF,
    libc::SO_RCVBUF,
    libc::SO_KEEPALIVE,
    libc::SO_OOBINLINE,
    libc::SO_LINGER,
    libc::SO_RCVLOWAT,
    libc::SO_RCVTIMEO,
    libc::SO_SNDTIMEO,
    libc::SO_ACCEPTCONN,
    libc::SO_BINDTODEVICE,
];

/// Only one level has a name: `SOL_SOCKET` is 0.
fn option(level: u32, name: u32) -> Result<i32, Errno> {
    match OPTIONS.get(name as usize) {
        Some(option) if level == 0 => Ok(*option),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// Longest value of an option, the name of an interface (`IFNAMSIZ`), and that of a time.
const LONGEST_VALUE: u32 = 16;

/// WasmEdge takes a pointer to the length, which it writes back. The socket package of Go programs
/// (github.com/stealthrocket/net) gives the length itself, which no pointer is as small as.
pub fn sock_getsockopt(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    level: u32,
    name: u32,
    value: u32,
    length: u32,
) -> Outcome {
    let socket = wasi.table.get(fd)?;
    let option = option(level, name)?;
    let room = if length <= LONGEST_VALUE { length } else { guest.u32(length)? };
    guest.check(value, room)?;
    let mut buffer = [0; LONGEST_VALUE as usize];
    let known = socket::option(socket.as_fd(), option, &mut buffer[..room.min(LONGEST_VALUE) as usize])?;
    let known = &mut buffer[..known.min(LONGEST_VALUE) as usize];
    if let Ok(number) = <[u8; 4]>::try_from(&*known) {
        let number = i32::from_le_bytes(number);
        match option {
            libc::SO_ERROR if number != 0 => {
                let errno = WasiErrno::from(Errno::from_raw_os_error(number));
                known.copy_from_slice(&u32::from(errno.0).to_le_bytes());
            }
            libc::SO_TYPE => {
                let kind = if number == libc::SOCK_DGRAM { DATAGRAM } else { STREAM };
                known.copy_from_slice(&kind.to_le_bytes());
            }
            _ => {}
        }
    }
    guest.write(value, known)?;
    if length > LONGEST_VALUE {
        guest.write_u32(length, known.len() as u32)?;
    }
    Ok(())
}

pub fn sock_setsockopt(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    fd: u32,
    level: u32,
    name: u32,
    value: u32,
    length: u32,
) -> Outcome {
    let socket = wasi.table.get(fd)?;
    Ok(socket::set_option(socket.as_fd(), option(level, name)?, guest.slice(value, length)?)?)
}
