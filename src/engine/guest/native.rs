//! Linux entrypoints: execve, with the checks and the words of runc.

use std::{ffi::CString, path::Path};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags},
    unistd::{AccessFlags, execve, faccessat},
};
use oci_spec::runtime::LinuxSeccomp;

use super::{profile, signals};

/// Exit code of runc's init when execve itself fails.
pub const EXEC_FAILED: i32 = 255;

/// Whether `path` may be executed by this process's effective user.
pub fn check_executable(name: &str, path: &Path) -> Result<(), String> {
    match faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        Ok(()) => Ok(()),
        Err(Errno::EACCES) => Err(format!("exec: {name:?}: permission denied")),
        Err(errno) => Err(format!("exec: {name:?}: {}", errno.desc())),
    }
}

/// Replaces this process, under `profile` if there is one; returns the cause if that fails. Between the profile and
/// execve there is nothing that it would have to allow.
pub fn exec(path: &Path, args: &[String], env: &[String], profile: Option<&LinuxSeccomp>) -> String {
    let cause = match (signals::reset(), c_strings(args), c_strings(env)) {
        (Ok(()), Ok(args), Ok(env)) => match CString::new(path.as_os_str().as_encoded_bytes()) {
            Ok(path) => match profile.map_or(Ok(()), profile::load) {
                Ok(()) => {
                    let Err(errno) = execve(&path, &args, &env);
                    describe(errno)
                }
                Err(cause) => cause,
            },
            Err(_) => "the path has a NUL byte".to_owned(),
        },
        (Err(errno), _, _) => errno.desc().to_owned(),
        _ => "an argument or environment variable has a NUL byte".to_owned(),
    };
    format!("exec {}: {cause}", path.display())
}

fn c_strings(strings: &[String]) -> Result<Vec<CString>, std::ffi::NulError> {
    strings.iter().map(|string| CString::new(string.as_str())).collect()
}

fn describe(errno: Errno) -> String {
    match errno {
        Errno::ENOEXEC => "exec format error".to_owned(),
        Errno::ENOENT => "no such file or directory".to_owned(),
        errno => errno.desc().to_owned(),
    }
}
