//! Which descriptors a process of a container may have.
//!
//! It is a copy of a worker, which holds the node's: its report socket, which the host believes, cgroup files, a namespace.
//! None of them may be there when anything of the guest is opened, nor when a process of the container, which may be
//! allowed to trace, can reach the new one.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::atomic::{AtomicI32, Ordering},
};

use nix::sys::stat::{SFlag, fstat};

/// Below this number is every descriptor that a worker can have, which begins with a handful.
const HIGHEST: RawFd = 256;

/// The socket on which this worker reports; -1 where there is none.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// Says which socket the host believes: [`close_the_node_s`] closes it.
pub fn set_report(socket: &impl AsFd) {
    REPORT.store(socket.as_fd().as_raw_fd(), Ordering::Relaxed);
}

/// Closes all descriptors but the standard streams and those in `keep`.
pub fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3;
    for fd in keep {
        close_range(first, fd - 1)?;
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

/// Puts `/dev/null` in the place of standard error, which is the engine's log until a process has streams of its own.
///
/// # Errors
/// Where the node has none.
pub fn leave_the_log() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    Ok(nix::unistd::dup2_stderr(&null)?)
}

/// Closes all descriptors but the standard streams, those in `keep`, and sockets other than the report's.
///
/// Sockets that are left are libcontainer's own, whose numbers it does not tell: on one the start is waited for, on the others
/// the worker waits for "ready" or a cause, and believes nothing else.
pub fn close_the_node_s(keep: &[RawFd]) -> io::Result<()> {
    let report = REPORT.load(Ordering::Relaxed);
    let stays = |fd: &RawFd| *fd != report && (keep.contains(fd) || is_socket(*fd));
    close_all_but(&(3..HIGHEST).filter(stays).collect::<Vec<_>>())
}

fn is_socket(fd: RawFd) -> bool {
    // SAFETY: borrowed for one call, which fails if there is no such descriptor.
    let status = fstat(unsafe { BorrowedFd::borrow_raw(fd) });
    status.is_ok_and(|status| SFlag::from_bits_truncate(status.st_mode & libc::S_IFMT) == SFlag::S_IFSOCK)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: closes descriptors whose owners this process never drops: it is a fork that ends without destructors.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
