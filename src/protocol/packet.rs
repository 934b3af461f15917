//! Packets of a unix socket, with file descriptors beside them (`SCM_RIGHTS`, unix(7)).

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};

/// Most file descriptors with one packet.
pub const MAX_FDS: usize = 4;

/// A packet as it came.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes are in the buffer; 0 at the end.
    pub size: usize,
    /// Its file descriptors, close-on-exec; none where some were lost.
    pub fds: Vec<OwnedFd>,
    /// It was longer than the buffer.
    pub cut: bool,
    /// File descriptors came with it for which this process had no room (`RLIMIT_NOFILE`), or more than [`MAX_FDS`].
    pub fds_lost: bool,
}

/// Sends a packet with file descriptors, all or nothing.
///
/// # Errors
/// Those of sendmsg(2): `WouldBlock` where a peer does not keep up, `BrokenPipe` where there is none.
pub fn send_packet(socket: &impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let socket = socket.as_fd().as_raw_fd();
    loop {
        match sendmsg::<()>(socket, &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives a packet into `buffer`; `flags` are recvmsg(2)'s, such as `MSG_DONTWAIT`. By hand, as nix hands out no
/// descriptors at all, and leaves them open, where there was no room for all of them.
///
/// # Errors
/// Those of recvmsg(2): `WouldBlock` where none is there and it is not to wait.
pub fn receive_packet(socket: &impl AsFd, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Packet> {
    let mut control = cmsg_space!([RawFd; MAX_FDS]);
    loop {
        let mut iov = IoSliceMut::new(buffer);
        // SAFETY: for this structure of integers and pointers all zeros are a value.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = (&raw mut iov).cast();
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.capacity() as _;
        let (socket, flags) = (socket.as_fd().as_raw_fd(), flags | libc::MSG_CMSG_CLOEXEC);
        // SAFETY: an IoSliceMut has the layout of an iovec; both buffers are as large as the header says.
        let size = unsafe { libc::recvmsg(socket, &raw mut header, flags) };
        match usize::try_from(size) {
            Ok(size) => {
                let (mut fds, told) = (received_fds(&header), MsgFlags::from_bits_retain(header.msg_flags));
                let fds_lost = told.contains(MsgFlags::MSG_CTRUNC);
                if fds_lost {
                    // Which ones came is not known, and whoever goes without them needs the room.
                    fds.clear();
                }
                return Ok(Packet { size, fds, cut: told.contains(MsgFlags::MSG_TRUNC), fds_lost });
            }
            Err(_) if Errno::last() == Errno::EINTR => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
}

/// Takes the descriptors that recvmsg has put into the control messages of `header`.
fn received_fds(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled in the header and the buffer that it points to.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or a control message in that buffer.
    while let Some(message) = unsafe { next.as_ref() } {
        if (message.cmsg_level, message.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: takes an integer.
            let head = unsafe { libc::CMSG_LEN(0) } as usize;
            let count = message.cmsg_len.saturating_sub(head) / size_of::<RawFd>();
            // SAFETY: the data of this kind of message are so many descriptors, which the kernel has just installed for us.
            let fd = |index| unsafe {
                OwnedFd::from_raw_fd(libc::CMSG_DATA(next).cast::<RawFd>().add(index).read_unaligned())
            };
            fds.extend((0..count).map(fd));
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    fds
}
