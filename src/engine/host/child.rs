//! The host's children by descriptor: whose they are, whether they have ended, and how (waitid(2) with `P_PIDFD`).
//!
//! A process id says nothing once its process has been reaped. So nothing is decided by one here that has not been read
//! from a pidfd, or from a child that has ended and has not been reaped yet.

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd},
};

use wasmedge_shim_protocol::ExitStatus;

use crate::guest::OUT_OF_MEMORY;

/// What the process behind a pidfd is to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// Its child, which runs.
    Living,
    /// Its child, which has ended and has not been reaped.
    Ended,
    /// None of its children, or one that was reaped.
    Stranger,
}

/// What the process behind `pidfd` is to this process.
///
/// # Errors
/// `EBADF` for what is no pidfd.
pub fn kin(pidfd: &impl AsFd) -> io::Result<Kin> {
    match wait(pidfd, libc::WNOWAIT) {
        Ok(Some(_)) => Ok(Kin::Ended),
        Ok(None) => Ok(Kin::Living),
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Kin::Stranger),
        Err(error) => Err(error),
    }
}

/// Reaps the child behind `pidfd` if it has ended; how it ended.
///
/// # Errors
/// `ECHILD` for a stranger.
pub fn reap(pidfd: &impl AsFd) -> io::Result<Option<ExitStatus>> {
    // Its last words are gone once it is reaped.
    let Some(ended) = wait(pidfd, libc::WNOWAIT)? else { return Ok(None) };
    let out_of_memory = failed(&ended) && says_out_of_memory(&ended);
    let info = wait(pidfd, 0)?;
    Ok(info.map(|info| ExitStatus { out_of_memory, ..ExitStatus::now(exit_code(&info)) }))
}

/// Whether it left by itself and not in success.
fn failed(info: &libc::siginfo_t) -> bool {
    info.si_code == libc::CLD_EXITED && exit_code(info) != 0
}

/// Whether the child, which has ended and has not been reaped, called itself so at last. Nothing of that is believed but that
/// it is what the process says of itself.
fn says_out_of_memory(info: &libc::siginfo_t) -> bool {
    // SAFETY: the kernel fills this field for a child that has ended.
    let pid = unsafe { info.si_pid() };
    fs::read(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_ascii_end() == OUT_OF_MEMORY.to_bytes())
}

/// The process id behind `pidfd`, as this process sees it; `None` once it has been reaped.
pub fn pid(pidfd: &impl AsFd) -> io::Result<Option<i32>> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = line.and_then(|pid| pid.trim().parse::<i32>().ok());
    pid.map(|pid| (pid > 0).then_some(pid)).ok_or_else(|| io::Error::other("it is no pidfd"))
}

/// A child that has ended and has not been reaped. Its id is its own until it is.
pub fn next_ended() -> Option<i32> {
    ended(libc::P_ALL, 0)
}

/// The same in a process group.
pub fn next_ended_in(group: i32) -> Option<i32> {
    ended(libc::P_PGID, group.unsigned_abs())
}

fn ended(kind: libc::idtype_t, id: libc::id_t) -> Option<i32> {
    let info = waitid(kind, id, libc::WNOWAIT).ok().flatten()?;
    // SAFETY: the kernel fills this field for a child that has ended.
    Some(unsafe { info.si_pid() })
}

/// Reaps the ended child `pid`.
pub fn bury(pid: i32) {
    let _ = waitid(libc::P_PID, pid.unsigned_abs(), 0);
}

fn wait(pidfd: &impl AsFd, flags: libc::c_int) -> io::Result<Option<libc::siginfo_t>> {
    waitid(libc::P_PIDFD, pidfd.as_fd().as_raw_fd().unsigned_abs(), flags)
}

fn waitid(kind: libc::idtype_t, id: libc::id_t, flags: libc::c_int) -> io::Result<Option<libc::siginfo_t>> {
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes one structure.
    if unsafe { libc::waitid(kind, id, &raw mut info, libc::WEXITED | libc::WNOHANG | flags) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zero where no child has ended.
    Ok((unsafe { info.si_pid() } != 0).then_some(info))
}

/// The code itself, or 128 plus the signal's number.
fn exit_code(info: &libc::siginfo_t) -> u32 {
    // SAFETY: the kernel fills this field for a child that has ended.
    let status = unsafe { info.si_status() };
    let code = if info.si_code == libc::CLD_EXITED { status & 0xff } else { 128 + status };
    code.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{process::Command, time::Duration};
    use wasmedge_shim_protocol::Pidfd;

    fn child(script: &str) -> Pidfd {
        Pidfd::open(Command::new("sh").args(["-c", script]).spawn().unwrap().id().cast_signed()).unwrap()
    }

    #[test]
    fn a_child_is_known_by_its_descriptor_until_it_is_reaped() {
        let pidfd = child("sleep 60");
        assert_eq!((kin(&pidfd).unwrap(), reap(&pidfd).unwrap()), (Kin::Living, None));
        assert!(pid(&pidfd).unwrap().is_some());
        pidfd.send_signal(libc::SIGKILL).unwrap();
        assert!(pidfd.wait(Duration::from_secs(10)).unwrap());
        assert_eq!(kin(&pidfd).unwrap(), Kin::Ended);
        assert_eq!(reap(&pidfd).unwrap().map(|status| status.code), Some(137));
        assert_eq!((kin(&pidfd).unwrap(), pid(&pidfd).unwrap()), (Kin::Stranger, None));
        assert!(reap(&pidfd).is_err());
    }

    #[test]
    fn an_exit_code_is_the_program_s() {
        let pidfd = child("exit 42");
        assert!(pidfd.wait(Duration::from_secs(10)).unwrap());
        assert_eq!(reap(&pidfd).unwrap().map(|status| status.code), Some(42));
    }

    #[test]
    fn what_a_child_says_of_its_end_is_heard_where_it_failed_by_itself() {
        let named = |script: &str| {
            let pidfd = child(&format!("printf wasmedge/oom > /proc/self/comm; {script}"));
            assert!(pidfd.wait(Duration::from_secs(10)).unwrap());
            reap(&pidfd).unwrap().map(|status| (status.code, status.out_of_memory))
        };
        assert_eq!(named("exit 134"), Some((134, true)));
        assert_eq!(named("exit 0"), Some((0, false)));
        assert_eq!(named("kill -9 $$"), Some((137, false)));
        let silent = child("exit 134");
        assert!(silent.wait(Duration::from_secs(10)).unwrap());
        assert!(!reap(&silent).unwrap().unwrap().out_of_memory);
    }

    #[test]
    fn another_s_child_is_a_stranger_and_a_file_no_pidfd() {
        let first = Pidfd::open(1).unwrap();
        assert_eq!(kin(&first).unwrap(), Kin::Stranger);
        let file = fs::File::open("/dev/null").unwrap();
        assert!(kin(&file).is_err() && pid(&file).is_err());
    }
}
