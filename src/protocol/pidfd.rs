//! A container's init by descriptor: signals never reach another process, and its end is seen by whoever holds it,
//! its parent or not (pidfd_open(2)).

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::ExitStatus;

/// A reference to one process.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
}

/// `struct pidfd_info` in its first version (linux/pidfd.h).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    /// pid, tgid, ppid and the eight user and group ids.
    ids: [u32; 11],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::c_ulong = (3 << 30) | ((size_of::<PidfdInfo>() as libc::c_ulong) << 16) | (0xFF << 8) | 11;

impl Pidfd {
    /// Refers to the process that has the id `pid` now.
    ///
    /// # Errors
    /// `ESRCH` where there is none.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: takes integers, returns a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new; it is close-on-exec by itself.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    /// Sends a signal, 0 to only try.
    ///
    /// # Errors
    /// `ESRCH` where the process has ended, `EINVAL` for a number that is no signal.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo asks for the one of kill(2).
        match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.fd.as_raw_fd(), signal, no_info, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether the process has ended, reaped or not.
    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO).unwrap_or(true)
    }

    /// Waits until the process has ended; `false` on time-out.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        Ok(poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout)? > 0)
    }

    /// How the process ended, for those who are not its parent: known once its parent has reaped it, on Linux 6.15
    /// and later.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the kernel writes at most the structure's size, which is part of the request.
        let done = unsafe { libc::ioctl(self.fd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        (done == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::now(exit_code(info.exit_code)))
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> Self {
        pidfd.fd
    }
}

/// The exit code in a wait status: the code itself, or 128 plus the signal's number.
pub fn exit_code(wait_status: i32) -> u32 {
    let code =
        if libc::WIFSIGNALED(wait_status) { 128 + libc::WTERMSIG(wait_status) } else { libc::WEXITSTATUS(wait_status) };
    code.unsigned_abs()
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Pidfd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl From<OwnedFd> for Pidfd {
    /// `fd` must be a pidfd.
    fn from(fd: OwnedFd) -> Self {
        Self { fd }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn signals_and_ends_are_seen_through_the_descriptor() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = Pidfd::open(child.id().cast_signed()).unwrap();
        pidfd.send_signal(0).unwrap();
        assert!(!pidfd.wait(Duration::ZERO).unwrap());
        pidfd.send_signal(libc::SIGTERM).unwrap();
        assert!(pidfd.wait(Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        assert_eq!(pidfd.send_signal(0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_reaped_process_tells_its_exit_code_to_others() {
        let mut child = Command::new("sh").args(["-c", "exit 42"]).spawn().unwrap();
        let pidfd = Pidfd::open(child.id().cast_signed()).unwrap();
        child.wait().unwrap();
        let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let known = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
        assert_eq!(pidfd.exit_status().map(|status| status.code), known.then_some(42));
    }

    #[test]
    fn wait_statuses_become_exit_codes() {
        assert_eq!(exit_code(7 << 8), 7);
        assert_eq!(exit_code(libc::SIGKILL), 137);
    }
}
