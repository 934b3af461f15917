//! Short messages with a file descriptor between a worker and the process that it makes.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use wasmedge_shim_protocol::{Packet, receive_packet, send_packet};

/// Longest text, in bytes; what is longer is cut.
const MAX_TEXT: usize = 4096;

/// Sends a text and a descriptor, as one packet or, on a stream, at once. An empty text is sent as one NUL, since an
/// empty packet is the end.
pub fn send(socket: &OwnedFd, text: &[u8], fd: Option<&OwnedFd>) -> io::Result<()> {
    let text = if text.is_empty() { b"\0" } else { &text[..text.len().min(MAX_TEXT)] };
    let fds: Vec<BorrowedFd<'_>> = fd.into_iter().map(AsFd::as_fd).collect();
    send_packet(socket, text, &fds)
}

/// Waits for a text, or a descriptor; `None` when the other end is closed.
pub fn receive(socket: &OwnedFd) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut buffer = vec![0; MAX_TEXT];
    let Packet { size, mut fds, fds_lost, .. } = receive_packet(socket, &mut buffer, 0)?;
    if fds_lost {
        return Err(io::Error::other("a descriptor was lost: this process has as many as it may"));
    }
    if fds.len() > 1 {
        return Err(io::Error::other("more than one descriptor came"));
    }
    let fd = fds.pop();
    if size == 0 && fd.is_none() {
        return Ok(None);
    }
    Ok(Some((String::from_utf8_lossy(&buffer[..size]).into_owned(), fd)))
}
