//! A host that begins anew: execve of its own binary, with its socket open, and what it was unpacked to still held.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStringExt,
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    unistd::execve,
};

use super::{confine::Confinement, unpacked};

/// Environment variable with the number of the descriptor that a renewed host listens on.
const LISTENER: &str = "WASMEDGE_ENGINE_LISTENER";

/// The same of the descriptor that holds what the engine was unpacked to: nobody removes it in between.
const HELD: &str = "WASMEDGE_ENGINE_HELD";

/// Executes the engine again, with the same arguments; returns after a failure only.
/// `further` is a variable of its environment.
pub fn begin_anew(listener: &OwnedFd, confinement: &Confinement, further: Option<(&str, String)>) -> io::Result<()> {
    let lines = |line: Vec<u8>| CString::new(line).ok();
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| lines(arg.into_vec())).collect();
    let variable = |name: Vec<u8>, value: Vec<u8>| lines([name, b"=".to_vec(), value].concat());
    let mut env: Vec<CString> =
        std::env::vars_os().filter_map(|(name, value)| variable(name.into_vec(), value.into_vec())).collect();
    env.extend(unpacked::environment().and_then(|(name, value)| variable(name.into(), value.clone().into_vec())));
    let kept: Vec<_> =
        [(LISTENER, listener.as_fd())].into_iter().chain(unpacked::held().map(|held| (HELD, held))).collect();
    env.extend(kept.iter().filter_map(|(name, file)| lines(format!("{name}={}", file.as_raw_fd()).into_bytes())));
    env.extend(further.and_then(|(name, value)| lines(format!("{name}={value}").into_bytes())));
    // It is raised again, and what it was is for containers.
    confinement.give_descriptors_back()?;
    let inherit = |flag: FdFlag| kept.iter().try_for_each(|(_, file)| set_flag(*file, flag));
    inherit(FdFlag::empty())?;
    // The sealed copy that this process runs from.
    let Err(errno) = execve(c"/proc/self/exe", &args, &env);
    inherit(FdFlag::FD_CLOEXEC)?;
    Err(errno.into())
}

fn set_flag(file: BorrowedFd<'_>, flag: FdFlag) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_SETFD(flag)).map(drop)
}

/// The socket that a host before this one, in the same process, has listened on.
pub fn inherited_listener() -> Option<OwnedFd> {
    let listener = inherited(LISTENER)?;
    let flags = OFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFL).ok()?);
    fcntl(&listener, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).ok()?;
    Some(listener)
}

/// The lock that it has held on what the engine was unpacked to.
pub fn inherited_hold() -> Option<OwnedFd> {
    inherited(HELD)
}

/// The descriptor whose number a variable has. The process must have one thread.
fn inherited(variable: &str) -> Option<OwnedFd> {
    let number = std::env::var(variable).ok()?.parse::<RawFd>().ok()?;
    // SAFETY: the process has one thread.
    unsafe { std::env::remove_var(variable) };
    // SAFETY: left open for this by `begin_anew`, and nobody else's; checked to be there.
    let file = unsafe {
        Errno::result(libc::fcntl(number, libc::F_GETFD)).ok()?;
        OwnedFd::from_raw_fd(number)
    };
    set_flag(file.as_fd(), FdFlag::FD_CLOEXEC).ok()?;
    Some(file)
}
