//! What the seccomp filters of guests and of compilers have in common (seccomp(2)): both are lists of what is allowed.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};

/// Conditions by the number of their system call; none is for whatever its arguments.
pub type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The flags by which glibc makes a thread (clone(2)).
pub const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as u64;

/// A filter that allows `rules`. All else fails with EPERM.
pub fn allowing(rules: Rules) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    assemble(rules, SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
}

/// A filter by which clone3 seems not to exist: its arguments are in memory, where a filter cannot look, and glibc then takes
/// clone. What allows clone by its arguments allows clone3 as well, since of two filters the one that refuses counts.
pub fn without_clone3() -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let enosys = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    assemble(Rules::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, enosys)
}

fn assemble(
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let filter = SeccompFilter::new(rules, otherwise, action, TargetArch::try_from(std::env::consts::ARCH)?)?;
    Ok(filter.try_into()?)
}

/// Runs `call` under the filter that `install` installs, in a child; the errno it ended with, 0 for success, 255 without a
/// filter.
#[cfg(test)]
pub fn errno_under(install: fn() -> Result<(), String>, call: fn() -> libc::c_long) -> i32 {
    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };
    // SAFETY: the child makes system calls only.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let failed = install().is_err();
            let code = if failed {
                255
            } else if call() < 0 {
                nix::errno::Errno::last_raw()
            } else {
                0
            };
            // SAFETY: ends the child without running the test harness's destructors.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => match waitpid(child, None).unwrap() {
            WaitStatus::Exited(_, code) => code,
            other => panic!("{other:?}"),
        },
    }
}
