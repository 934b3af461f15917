//! Running from a sealed copy of the executable.
//!
//! A container's init is a fork of the host, so its `/proc/PID/exe` is the host's binary: a process that reaches it
//! could overwrite the engine for the whole node (CVE-2019-5736). The copy can neither be written nor unsealed.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
};

use nix::{
    fcntl::{AtFlags, FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
    unistd::execveat,
};

const NAME: &CStr = c"wasmedge-engine";

/// Replaces this process by itself, running from a sealed copy; returns when it already does.
pub fn run_from_sealed_copy() -> io::Result<()> {
    let executable = File::open("/proc/self/exe")?;
    if is_sealed(&executable) {
        // The kernel has named the process after the copy's descriptor.
        // SAFETY: a static, NUL-terminated string.
        unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
        // SAFETY: takes integers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        return Ok(());
    }
    let copy = sealed_copy(executable)?;
    let args: Vec<CString> = std::env::args_os().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect();
    let env: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| CString::new([name.into_vec(), b"=".to_vec(), value.into_vec()].concat()).ok())
        .collect();
    let Err(errno) = execveat(copy.as_fd(), c"", &args, &env, AtFlags::AT_EMPTY_PATH);
    Err(errno.into())
}

fn sealed_copy(mut executable: File) -> io::Result<OwnedFd> {
    let copy = memfd_create(NAME, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut writer = File::from(copy.try_clone()?);
    io::copy(&mut executable, &mut writer)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(copy)
}

fn is_sealed(executable: &File) -> bool {
    let seals = fcntl(executable, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_truncate);
    seals.is_ok_and(|seals| seals.contains(SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL))
}
