//! Names of hosts and services.

use std::{ffi::CString, ptr};

use super::socket::Address;

/// What is looked for, with the `AI_…`, `AF_…`, `SOCK_…` and `IPPROTO_…` of getaddrinfo(3).
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// `AI_…`.
    pub flags: i32,
    /// `AF_…`.
    pub family: i32,
    /// `SOCK_…`.
    pub kind: i32,
    /// `IPPROTO_…`.
    pub protocol: i32,
}

/// One of the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `AF_…`.
    pub family: i32,
    /// `SOCK_…`.
    pub kind: i32,
    /// `IPPROTO_…`.
    pub protocol: i32,
    /// The address, with the service's port.
    pub address: Address,
    /// The host's own name, in the first answer, if it was asked for.
    pub name: Option<Vec<u8>>,
}

/// Ports that need no `/etc/services`, which images that are made from nothing do not have: WasmEdge's socket package for
/// Rust looks for every host with the service `http`, and sets the port afterwards.
const PORTS: [(&[u8], &[u8]); 2] = [(b"http", b"80"), (b"https", b"443")];

/// Looks a host and a service up, by the container's files and servers. At most `most` answers.
///
/// # Errors
/// An `EAI_…` of getaddrinfo(3).
pub fn look_up(host: Option<&[u8]>, service: Option<&[u8]>, hints: Hints, most: usize) -> Result<Vec<Answer>, i32> {
    match (ask(host, service, hints, most), PORTS.iter().find(|(name, _)| Some(*name) == service)) {
        (Err(libc::EAI_SERVICE), Some((_, port))) => ask(host, Some(port), hints, most),
        (result, _) => result,
    }
}

fn ask(host: Option<&[u8]>, service: Option<&[u8]>, hints: Hints, most: usize) -> Result<Vec<Answer>, i32> {
    let text = |bytes: Option<&[u8]>| bytes.map(CString::new).transpose().map_err(|_| libc::EAI_NONAME);
    let (host, service) = (text(host)?, text(service)?);
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    // SAFETY: for this structure all zeros are a value.
    let mut wanted: libc::addrinfo = unsafe { std::mem::zeroed() };
    (wanted.ai_flags, wanted.ai_family) = (hints.flags, hints.family);
    (wanted.ai_socktype, wanted.ai_protocol) = (hints.kind, hints.protocol);
    let mut list = ptr::null_mut();
    // SAFETY: the texts and the hints live through the call, which gives a list after a success.
    match unsafe { libc::getaddrinfo(pointer(&host), pointer(&service), &raw const wanted, &raw mut list) } {
        0 => {}
        code => return Err(code),
    }
    let mut answers = Vec::new();
    let mut next = list.cast_const();
    // SAFETY: the list lives until it is freed, which is done once.
    unsafe {
        while let Some(entry) = next.as_ref() {
            answers.extend(answer(entry));
            next = entry.ai_next;
            if answers.len() >= most {
                break;
            }
        }
        libc::freeaddrinfo(list);
    }
    Ok(answers)
}

/// # Safety
/// The entry must be one of a list that getaddrinfo(3) has made.
unsafe fn answer(entry: &libc::addrinfo) -> Option<Answer> {
    // SAFETY: the caller's promise: the address is one of its family, the name ends with a zero.
    let (address, name) = unsafe {
        let address = match entry.ai_family {
            libc::AF_INET => {
                let address = entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned();
                Address::V4(address.sin_addr.s_addr.to_ne_bytes(), u16::from_be(address.sin_port))
            }
            libc::AF_INET6 => {
                let address = entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                Address::V6(address.sin6_addr.s6_addr, u16::from_be(address.sin6_port))
            }
            _ => return None,
        };
        let name = entry.ai_canonname;
        (address, (!name.is_null()).then(|| std::ffi::CStr::from_ptr(name).to_bytes().to_vec()))
    };
    Some(Answer { family: entry.ai_family, kind: entry.ai_socktype, protocol: entry.ai_protocol, address, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_looked_up_without_asking_anybody() {
        let hints =
            Hints { flags: libc::AI_NUMERICHOST | libc::AI_NUMERICSERV, kind: libc::SOCK_STREAM, ..Hints::default() };
        let answers = look_up(Some(b"192.0.2.1"), Some(b"8080"), hints, 8).unwrap();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].address, Address::V4([192, 0, 2, 1], 8080));
        let answers = look_up(Some(b"2001:db8::1"), None, hints, 8).unwrap();
        let Address::V6(host, 0) = answers[0].address else { panic!("{answers:?}") };
        assert_eq!((host[..4].to_vec(), host[15]), (vec![0x20, 1, 0xd, 0xb8], 1));
        assert_eq!(look_up(Some(b"no number"), None, hints, 8), Err(libc::EAI_NONAME));
        assert_eq!(look_up(Some(b"with\0zero"), None, hints, 8), Err(libc::EAI_NONAME));
    }
}
