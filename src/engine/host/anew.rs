//! A host that begins anew: execve of its own binary, with its socket open.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
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

/// Executes the engine again, with the same arguments; returns after a failure only.
/// `further` is a variable of its environment.
pub fn begin_anew(listener: &OwnedFd, confinement: &Confinement, further: Option<(&str, String)>) -> io::Result<()> {
    let lines = |line: Vec<u8>| CString::new(line).ok();
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| lines(arg.into_vec())).collect();
    let variable = |name: Vec<u8>, value: Vec<u8>| lines([name, b"=".to_vec(), value].concat());
    let mut env: Vec<CString> =
        std::env::vars_os().filter_map(|(name, value)| variable(name.into_vec(), value.into_vec())).collect();
    env.extend(unpacked::environment().and_then(|(name, value)| variable(name.into(), value.clone().into_vec())));
    env.extend(further.and_then(|(name, value)| lines(format!("{name}={value}").into_bytes())));
    env.extend(lines(format!("{LISTENER}={}", listener.as_raw_fd()).into_bytes()));
    // It is raised again, and what it was is for containers.
    confinement.give_descriptors_back()?;
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::empty()))?;
    // The sealed copy that this process runs from.
    let Err(errno) = execve(c"/proc/self/exe", &args, &env);
    fcntl(listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Err(errno.into())
}

/// The socket that a host before this one, in the same process, has listened on.
pub fn inherited_listener() -> Option<OwnedFd> {
    let number = std::env::var(LISTENER).ok()?.parse::<RawFd>().ok()?;
    // SAFETY: the process has one thread.
    unsafe { std::env::remove_var(LISTENER) };
    // SAFETY: left open for this by `begin_anew`, and nobody else's; checked to be there.
    let listener = unsafe {
        Errno::result(libc::fcntl(number, libc::F_GETFD)).ok()?;
        OwnedFd::from_raw_fd(number)
    };
    let flags = OFlag::from_bits_retain(fcntl(&listener, FcntlArg::F_GETFL).ok()?);
    fcntl(&listener, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).ok()?;
    fcntl(&listener, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(listener)
}
