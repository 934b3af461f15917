//! Workers: forks of the host that do one request and exit.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
    unistd::{Pid, getpid, getppid, setpgid},
};
use wasmedge_shim_protocol::{Failure, Outcome, Pidfd, receive_packet, send_packet};

use super::{
    confine::Confinement,
    fork::{Forked, fork_into},
};
use crate::{
    aot,
    guest::{
        Finished,
        descriptors::{close_all_but, set_report},
        report,
    },
    journal,
    noted::{Noted, noted},
};

/// Largest report, in bytes.
const MAX_REPORT: usize = 64 * 1024;

/// A running worker.
pub struct Worker {
    /// Its process id, which is also its process group's.
    pub pid: Pid,
    /// Its descriptor.
    pub pidfd: Pidfd,
    /// When it was made, in clock ticks since boot, as in `/proc/PID/stat`: what it makes is not older.
    pub started: u64,
    socket: OwnedFd,
}

impl Worker {
    /// Forks a worker that does `job` for the container called `about`, confined, with no other descriptors than its standard
    /// ones, those in `keep` and the report socket: the host's own connections must not stay open in containers.
    pub fn spawn(
        about: Option<&str>,
        confinement: &Confinement,
        keep: &[BorrowedFd<'_>],
        job: impl FnOnce() -> Finished,
    ) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let (host, started) = (getpid(), ticks_since_boot()?);
        // SAFETY: the host has a single thread, so the child may do whatever it could do itself.
        match unsafe { fork_into(confinement.unified())? } {
            Forked::Parent { child, pidfd } => Ok(Self { pid: child, pidfd, started, socket: ours }),
            Forked::Child => {
                super::canary::change_canary();
                if let Some(about) = about {
                    journal::about_called(about);
                }
                set_report(&theirs);
                let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
                kept.push(theirs.as_raw_fd());
                let prepared = confinement.enter().and_then(|()| prepare(host, &kept));
                let finished = prepared.map_err(|error| Failure::internal(error.to_string())).and_then(|()| {
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

    /// Whether it waits for a compiler at the moment.
    pub fn waits_for_compiler(&self) -> bool {
        let name = std::fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim_ascii_end() == aot::WAITS_FOR_COMPILER.to_bytes()
    }

    /// The socket on which the worker reports.
    pub fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// The outcome, with its file descriptors, once there is one. The worker alone has the other end of the socket.
    ///
    /// # Errors
    /// `UnexpectedEof` when the worker is gone without an outcome.
    pub fn outcome(&mut self) -> io::Result<Option<(Outcome, Noted, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; MAX_REPORT];
        let packet = match receive_packet(&self.socket, &mut buffer, libc::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            packet => packet?,
        };
        if packet.size == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if packet.fds_lost {
            return Err(io::Error::other("no room for the descriptors of its report"));
        }
        let (outcome, noted) =
            postcard::take_from_bytes::<Outcome>(&buffer[..packet.size]).map_err(io::Error::other)?;
        let noted = postcard::from_bytes(noted).map_err(io::Error::other)?;
        Ok(Some((outcome, noted, packet.fds)))
    }
}

/// Sends the outcome, what was noted on the way, and the file descriptors that go with it. A host that is gone has nobody left to tell.
fn send(socket: &OwnedFd, outcome: &Outcome, fds: &[OwnedFd]) {
    let Ok(mut bytes) = postcard::to_stdvec(outcome) else { return };
    bytes.extend(postcard::to_stdvec(&noted()).unwrap_or_default());
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let _ = send_packet(socket, &bytes, &fds);
}

/// The time since boot in the unit of `/proc/PID/stat`, rounded down as there.
pub fn ticks_since_boot() -> io::Result<u64> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one structure.
    Errno::result(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) })?;
    // SAFETY: takes and gives integers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok((now.tv_sec * per_second + now.tv_nsec * per_second / 1_000_000_000).unsigned_abs())
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
