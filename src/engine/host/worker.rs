//! Workers: forks of the host that do one request and exit.

use std::{
    io::{self, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair},
    },
    unistd::{ForkResult, Pid, fork, getpid, getppid, setpgid},
};
use wasmedge_shim_protocol::{Failure, MAX_FDS, Outcome, Reply};

use crate::guest::{Finished, Report, Reporter, capture_errors};

/// Largest report, in bytes.
const MAX_REPORT: usize = 64 * 1024;

/// A running worker.
pub struct Worker {
    /// Its process id, which is also its process group's.
    pub pid: Pid,
    socket: OwnedFd,
    plain_cause: Option<String>,
    traced_cause: Option<String>,
}

impl Worker {
    /// Forks a worker that does `job` with no other descriptors than its standard ones, those in `keep` and the
    /// report socket: the host's own connections must not stay open in containers.
    pub fn spawn(keep: &[BorrowedFd<'_>], job: impl FnOnce(Reporter) -> Finished) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let host = getpid();
        // SAFETY: the host has a single thread, so the child may do whatever it could do itself.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => {
                Ok(Self { pid: child, socket: ours, plain_cause: None, traced_cause: None })
            }
            ForkResult::Child => {
                super::renew::change_canary();
                let reporter = Reporter::new(&theirs);
                let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
                kept.push(theirs.as_raw_fd());
                let finished =
                    prepare(host, &kept).map_err(|error| Failure::internal(error.to_string())).and_then(|()| {
                        capture_errors(reporter);
                        job(reporter)
                    });
                match finished {
                    Ok((reply, fds)) => reporter.done(Ok::<_, Failure>(reply), &fds),
                    Err(failure) => reporter.done(Err::<Reply, _>(failure), &[]),
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

    /// Reads what has been reported; the outcome, with its file descriptors, once there is one.
    ///
    /// # Errors
    /// `UnexpectedEof` when the worker and all its processes are gone without an outcome.
    pub fn outcome(&mut self) -> io::Result<Option<(Outcome, Vec<OwnedFd>)>> {
        loop {
            let mut buffer = vec![0; MAX_REPORT];
            let (size, fds) = match self.receive(&mut buffer) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            match postcard::from_bytes::<Report<Outcome>>(&buffer[..size]) {
                Ok(Report::Cause { text, plain: true }) => drop(self.plain_cause.get_or_insert(text)),
                Ok(Report::Cause { text, plain: false }) => drop(self.traced_cause.get_or_insert(text)),
                Ok(Report::Done(outcome)) => return Ok(Some((self.explain(outcome), fds))),
                Err(error) => return Err(io::Error::other(error)),
            }
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

    /// Puts the best known cause into a failure.
    fn explain(&mut self, outcome: Outcome) -> Result<Reply, Failure> {
        outcome.map_err(|failure| match (self.plain_cause.take(), self.traced_cause.take()) {
            (Some(plain), _) => Failure::new(failure.kind, plain),
            (None, Some(traced)) if !failure.message.contains(&traced) => {
                Failure::new(failure.kind, format!("{}: {traced}", failure.message))
            }
            (None, _) => failure,
        })
    }
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

fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<libc::c_uint> = kept.iter().map(|fd| fd.unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([libc::c_uint::MAX]) {
        if first < fd {
            let last = if fd == libc::c_uint::MAX { fd } else { fd - 1 };
            // SAFETY: the descriptors belong to the host's structures, which this fork never touches again.
            if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = fd.saturating_add(1);
    }
    Ok(())
}
