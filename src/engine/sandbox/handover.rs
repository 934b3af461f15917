//! Short messages with a file descriptor between a worker and the process that it makes.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};

/// Longest text, in bytes; what is longer is cut.
const MAX_TEXT: usize = 4096;

/// Sends a text and a descriptor, as one packet or, on a stream, at once. An empty text is sent as one NUL, since an
/// empty packet is the end.
pub fn send(socket: &OwnedFd, text: &[u8], fd: Option<&OwnedFd>) -> io::Result<()> {
    let text = if text.is_empty() { b"\0" } else { &text[..text.len().min(MAX_TEXT)] };
    let raw: Vec<RawFd> = fd.into_iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(text)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Waits for a text, or a descriptor; `None` when the other end is closed.
pub fn receive(socket: &OwnedFd) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let (mut buffer, mut control) = (vec![0; MAX_TEXT], cmsg_space!([RawFd; 1]));
    let mut iov = [IoSliceMut::new(&mut buffer)];
    let packet = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut iov, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(nix::errno::Errno::EINTR) => {}
            packet => break packet?,
        }
    };
    let size = packet.bytes;
    let cut_short = packet.flags.contains(MsgFlags::MSG_CTRUNC);
    let mut fd = None;
    for message in packet.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = message {
            // SAFETY: the kernel has just installed these descriptors for us.
            fd = raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }).next_back();
        }
    }
    if cut_short {
        return Err(io::Error::other("a descriptor was lost: this process has as many as it may"));
    }
    if size == 0 && fd.is_none() {
        return Ok(None);
    }
    Ok(Some((String::from_utf8_lossy(&buffer[..size]).into_owned(), fd)))
}
