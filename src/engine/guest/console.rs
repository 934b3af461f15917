//! A process's terminal: a pseudo-terminal of the container's own devpts, whose master goes to the shim.

use std::os::{
    fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    unix::fs::OpenOptionsExt,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    libc,
    pty::{OpenptyResult, openpty},
    sys::{stat::fstat, statfs::fstatfs},
    unistd::{Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown, pipe2},
};
use oci_spec::runtime::Box as ConsoleSize;

/// `DEVPTS_SUPER_MAGIC` (linux/magic.h).
const DEVPTS_MAGIC: i64 = 0x1cd1;
/// Major numbers of the multiplexer and of the slaves (Documentation/admin-guide/devices.txt).
const MASTER_MAJOR: u64 = 5;
const SLAVE_MAJOR: u64 = 136;

/// Makes a terminal in the container that this process has joined and makes it this process's controlling terminal
/// and its three standard streams. Returns the master. The process must lead a session.
///
/// # Errors
/// Where the container has no devpts, or something that only looks like it: an image could hand us a device of its
/// choice for a terminal (CVE-2025-52565).
pub fn attach() -> Result<OwnedFd, String> {
    let OpenptyResult { master, slave } = openpty(None, None).map_err(|errno| format!("openpty: {}", errno.desc()))?;
    check(&master, MASTER_MAJOR)?;
    check(&slave, SLAVE_MAJOR)?;
    let failed = |errno: Errno| format!("attaching the terminal: {}", errno.desc());
    // SAFETY: takes integers.
    Errno::result(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }).map_err(failed)?;
    dup2_stdin(&slave).and_then(|()| dup2_stdout(&slave)).and_then(|()| dup2_stderr(&slave)).map_err(failed)?;
    Ok(master)
}

fn check(fd: &OwnedFd, major: u64) -> Result<(), String> {
    let failed = |errno: Errno| format!("looking at the terminal: {}", errno.desc());
    let on_devpts = fstatfs(fd).map_err(failed)?.filesystem_type().0 == DEVPTS_MAGIC;
    let found = nix::sys::stat::major(fstat(fd).map_err(failed)?.st_rdev);
    // A number of slaves beyond 256 spills over into the next majors.
    let right = if major == SLAVE_MAJOR { (SLAVE_MAJOR..SLAVE_MAJOR + 8).contains(&found) } else { found == major };
    if on_devpts && right { Ok(()) } else { Err("/dev/ptmx of the container is no pseudo-terminal".to_owned()) }
}

/// Puts an empty pipe in the place of a standard input that is `/dev/null`: to WASI every character device is a terminal,
/// and a module would think that it has one.
pub fn hide_null_input() -> nix::Result<()> {
    let input = fstat(std::io::stdin())?;
    let null = nix::sys::stat::makedev(1, 3);
    if input.st_rdev == null && input.st_mode & libc::S_IFMT == libc::S_IFCHR {
        let (reader, _) = pipe2(OFlag::O_CLOEXEC)?;
        dup2_stdin(&reader)?;
    }
    Ok(())
}

/// Opens those standard streams anew that are `/dev/null` and can only be read: output that nobody wants is no failure.
///
/// libcontainer 0.7.0 opens the container's own `/dev/null` for reading only (`process/init/process.rs`, `reopen_dev_null`),
/// where runc opens it for both.
pub fn reopen_null_output() -> std::io::Result<()> {
    let null = nix::sys::stat::makedev(1, 3);
    let is_null = |fd: BorrowedFd<'_>| {
        fstat(fd).is_ok_and(|one| one.st_rdev == null && one.st_mode & libc::S_IFMT == libc::S_IFCHR)
    };
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    if !is_null(stdout.as_fd()) && !is_null(stderr.as_fd()) {
        return Ok(());
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = std::fs::File::options().read(true).write(true).custom_flags(flags).open("/dev/null")?;
    // What the image has there may be something else.
    if !is_null(file.as_fd()) {
        return Ok(());
    }
    if is_null(stdout.as_fd()) {
        dup2_stdout(&file)?;
    }
    if is_null(stderr.as_fd()) {
        dup2_stderr(&file)?;
    }
    Ok(())
}

/// Sets the window's size, where the spec gives one.
pub fn resize(master: impl AsFd, size: Option<ConsoleSize>) -> nix::Result<()> {
    let Some(size) = size.filter(|size| size.height() > 0 && size.width() > 0) else { return Ok(()) };
    let cells = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    let size = libc::winsize { ws_row: cells(size.height()), ws_col: cells(size.width()), ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: reads one structure.
    Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }).map(drop)
}

/// Makes `owner`, as this process's user namespace numbers it, the terminal's owner, so that a process of that user
/// may open it again by its name. The master may be that of another mount namespace (ioctl_tty(2), `TIOCGPTPEER`).
pub fn give_to(master: impl AsFd, owner: u32) -> nix::Result<()> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes integers, returns a new descriptor.
    let slave = Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the descriptor is new.
    let slave = unsafe { OwnedFd::from_raw_fd(slave) };
    fchown(&slave, Some(Uid::from_raw(owner)), None)
}
