//! `sock_getaddrinfo`, which is WasmEdge's.
//!
//! The guest hands over a chain of records, each with room for an address and a name, and learns how many were filled:
//!
//! ```text
//! addrinfo (28 bytes): 0 flags u16, 2 family u8, 3 socket type u8, 4 protocol u8, 8 length of the address u32,
//!                      12 sockaddr, 16 name, 20 length of the name u32, 24 next
//! sockaddr (12 bytes): 0 family u8, 4 length of the data u32, 8 data: port, then as in the kernel's sockaddr
//! ```

use rustix::io::Errno;

use super::{Errno as WasiErrno, Outcome, Stop, errno, sockets};
use crate::{
    Wasi,
    memory::Guest,
    system::{
        resolve::{self, Answer, Hints},
        socket::Address,
    },
};

const RECORD: u32 = 28;

/// `aiflags`, in the order of their bits.
const FLAGS: [i32; 7] = [
    libc::AI_PASSIVE,
    libc::AI_CANONNAME,
    libc::AI_NUMERICHOST,
    libc::AI_NUMERICSERV,
    libc::AI_V4MAPPED,
    libc::AI_ALL,
    libc::AI_ADDRCONFIG,
];

/// More answers than that nobody needs, and a guest may ask for any number.
const MOST: u32 = 1024;

/// What a name can be no longer than (getnameinfo(3), `NI_MAXHOST`).
const LONGEST: usize = 1025;

pub fn sock_getaddrinfo(
    _: &mut Wasi,
    guest: &mut Guest<'_>,
    host: u32,
    host_length: u32,
    service: u32,
    service_length: u32,
    hints: u32,
    chain: u32,
    most: u32,
    to: u32,
) -> Outcome {
    guest.check(to, 4)?;
    let mut record = guest.u32(chain)?;
    let host = text(guest.slice(host, host_length)?)?;
    let service = text(guest.slice(service, service_length)?)?;
    if most == 0 {
        return Err(Stop::Errno(errno::of_look_up(libc::EAI_MEMORY)));
    }
    let hints = wanted(guest, hints)?;
    let answers = resolve::look_up(host, service, hints, most.min(MOST) as usize)
        .map_err(|code| Stop::Errno(errno::of_look_up(code)))?;
    let mut told = 0;
    for answer in &answers {
        guest.check(record, RECORD)?;
        tell(guest, record, answer)?;
        told += 1;
        match guest.u32(record + 24)? {
            0 => break,
            next => record = next,
        }
    }
    Ok(guest.write_u32(to, told)?)
}

/// Programs give the final zero of a C string along, or not. Nothing at all is no name.
fn text(bytes: &[u8]) -> Result<Option<&[u8]>, Stop> {
    let text = &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())];
    if text.len() > LONGEST {
        return Err(Stop::Errno(errno::of_look_up(libc::EAI_NONAME)));
    }
    Ok((!text.is_empty()).then_some(text))
}

fn wanted(guest: &Guest<'_>, record: u32) -> Result<Hints, Stop> {
    let bytes = guest.slice(record, RECORD)?;
    let asked = u16::from_le_bytes([bytes[0], bytes[1]]);
    if asked >> FLAGS.len() != 0 {
        return Err(Stop::Errno(errno::of_look_up(libc::EAI_BADFLAGS)));
    }
    let set = FLAGS.iter().enumerate().filter(|(bit, _)| asked >> bit & 1 == 1);
    let no_family = Stop::Errno(errno::of_look_up(libc::EAI_FAMILY));
    Ok(Hints {
        flags: set.map(|(_, flag)| flag).sum(),
        family: match u32::from(bytes[2]) {
            0 => libc::AF_UNSPEC,
            sockets::INET4 => libc::AF_INET,
            sockets::INET6 => libc::AF_INET6,
            _ => return Err(no_family),
        },
        kind: match u32::from(bytes[3]) {
            0 => 0,
            sockets::DATAGRAM => libc::SOCK_DGRAM,
            sockets::STREAM => libc::SOCK_STREAM,
            _ => return Err(Stop::Errno(WasiErrno::from(Errno::NOSYS))),
        },
        protocol: match bytes[4] {
            0 => 0,
            1 => libc::IPPROTO_TCP,
            2 => libc::IPPROTO_UDP,
            _ => return Err(Stop::Errno(WasiErrno::from(Errno::NOSYS))),
        },
    })
}

fn tell(guest: &mut Guest<'_>, record: u32, answer: &Answer) -> Result<(), Errno> {
    let family = if answer.family == libc::AF_INET { sockets::INET4 } else { sockets::INET6 } as u8;
    let kind = match answer.kind {
        libc::SOCK_DGRAM => sockets::DATAGRAM,
        libc::SOCK_STREAM => sockets::STREAM,
        _ => 0,
    } as u8;
    let protocol = match answer.protocol {
        libc::IPPROTO_TCP => 1,
        libc::IPPROTO_UDP => 2,
        _ => 0,
    };
    let data = data(&answer.address);
    guest.write(record, &[0, 0, family, kind, protocol])?;
    // The whole of the kernel's, its family included.
    guest.write_u32(record + 8, data.len() as u32 + 2)?;
    let sockaddr = guest.u32(record + 12)?;
    guest.check(sockaddr, 12)?;
    guest.write(sockaddr, &[family])?;
    guest.write_u32(sockaddr + 4, data.len() as u32)?;
    // Programs have room for an address of either family whatever they say: Rust's package says 14 bytes and has 26.
    guest.write(guest.u32(sockaddr + 8)?, &data)?;
    let (name, room) = (guest.u32(record + 16)?, guest.u32(record + 20)?);
    let known = answer.name.as_deref().unwrap_or_default();
    // With its final zero.
    let fits = !known.is_empty() && known.len() < room as usize;
    if fits {
        guest.write(name, &[known, &[0]].concat())?;
    }
    guest.write_u32(record + 20, if fits { known.len() as u32 } else { 0 })
}

/// What comes after the family in the kernel's `sockaddr_in` and `sockaddr_in6` (ip(7), ipv6(7)).
fn data(address: &Address) -> Vec<u8> {
    match address {
        Address::V4(host, port) => [&port.to_be_bytes()[..], host, &[0; 8]].concat(),
        Address::V6(host, port) => [&port.to_be_bytes()[..], &[0; 4], host, &[0; 4]].concat(),
        Address::Unix(_) => Vec::new(),
    }
}
