//! Who is at the other end of a socket.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::{Error, Result};

/// Credentials of the process that opened the other end, as the kernel recorded them (unix(7), `SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id, as seen from here.
    pub pid: i32,
    /// User id, as seen from here.
    pub uid: u32,
}

/// Reads the peer's credentials and refuses it unless it runs as this process's own effective user.
pub fn check_peer(socket: &impl AsFd) -> Result<Peer> {
    let credentials = getsockopt(socket, PeerCredentials).map_err(std::io::Error::from)?;
    let peer = Peer { pid: credentials.pid(), uid: credentials.uid() };
    let expected = nix::unistd::geteuid().as_raw();
    if peer.uid != expected {
        return Err(Error::Peer { pid: peer.pid, uid: peer.uid, expected });
    }
    Ok(peer)
}
