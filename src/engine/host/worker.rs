//! Workers: forks of the host that do one request and exit.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        socket::{
            AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
            socketpair,
        },
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid, setpgid},
};
use wasmedge_shim_protocol::{Failure, MAX_FDS, Outcome};

use crate::guest::{
    Finished,
    descriptors::{close_all_but, set_report},
    report,
};

/// Largest report, in bytes.
const MAX_REPORT: usize = 64 * 1024;

/// A running worker.
pub struct Worker {
    /// Its process id, which is also its process group's.
    pub pid: Pid,
    socket: OwnedFd,
}

impl Worker {
    /// Forks a worker that does `job` with no other descriptors than its standard ones, those in `keep` and the
    /// report socket: the host's own connections must not stay open in containers.
    pub fn spawn(keep: &[BorrowedFd<'_>], job: impl FnOnce() -> Finished) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let host = getpid();
        // SAFETY: the host has a single thread, so the child may do whatever it could do itself.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => Ok(Self { pid: child, socket: ours }),
            ForkResult::Child => {
                set_report(&theirs);
                let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
                kept.push(theirs.as_raw_fd());
                let finished =
                    prepare(host, &kept).map_err(|error| Failure::internal(error.to_string())).and_then(|()| {
                        report::capture_errors();
                        job()
                    });
                match finished {
                    Ok((reply, fds)) => send(&theirs, &Ok(reply), &fds),
                    Err(failure) => send(&theirs, &Err(report::explain(failure)), &[]),
                }
                // SAFETY: ends the worker without the host's destructors.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The socket on which the worker reports.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The outcome, with its file descriptors, once there is one. The worker alone has the other end of the socket.
    ///
    /// # Errors
    /// `UnexpectedEof` when the worker is gone without an outcome.
    pub fn outcome(&mut self) -> io::Result<Option<(Outcome, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_REPORT];
        loop {
            let (size, fds) = match self.receive(&mut buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let outcome = postcard::from_bytes::<Outcome>(&buffer[..size]).map_err(io::Error::other)?;
            return Ok(Some((outcome, fds)));
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> nix::Result<(usize, Vec<OwnedFd>)> {
        let mut control = cmsg_space!([RawFd; MAX_FDS]);
        let mut iov = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let packet = recvmsg::<()>(self.socket.as_raw_fd(), &mut iov, Some(&mut control), flags)?;
        let mut fds = Vec::new();
        for message in packet.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel has just installed these descriptors for us.
                fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        Ok((packet.bytes, fds))
    }
}

/// Sends the outcome and the file descriptors that go with it. A host that is gone has nobody left to tell.
fn send(socket: &OwnedFd, outcome: &Outcome, fds: &[OwnedFd]) {
    let Ok(bytes) = postcard::to_stdvec(outcome) else { return };
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let _ = sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&bytes)], control, MsgFlags::MSG_NOSIGNAL, None);
}

/// Makes the fork a process of its own: its own group, so that what it makes can be found if it dies; signals as
/// usual; no descriptors of the host's.
fn prepare(host: Pid, kept: &[RawFd]) -> io::Result<()> {
    // Without a host nobody waits for what the worker makes; whoever cleans up must not meet it at work.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != host {
        return Err(io::Error::other("the engine host has ended"));
    }
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    close_all_but(kept)
}
