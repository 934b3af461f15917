//! The seccomp filter of compilers: a list of what LLVM and its linker do with memory and with files of their own directory.
//! All else fails with EPERM: sockets, processes, programs, tracing, signals to others, namespaces, mounts, keys, modules.
//!
//! Descriptors are the only doors that are left, and those are closed: there is an empty directory, and no way to make
//! memory executable, which a compiler that only writes code does not need.

use seccompiler::{SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use crate::seccomp::{Rules, THREAD, allowing, without_clone3};

/// System calls that are allowed whatever their arguments.
const PLAIN: &[libc::c_long] = &[
    // Files of the workspace.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_lseek,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_dup,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_getcwd,
    libc::SYS_umask,
    // Memory; which is executable is decided below.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_msync,
    libc::SYS_brk,
    // Threads of the linker, and waiting for them.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Questions.
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_restart_syscall,
];

/// Older forms of the same calls, which arm64 does not have.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_chmod,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[libc::c_long] = &[];

/// Installs the filter in this thread, the only one. It cannot be removed.
pub fn install() -> Result<(), String> {
    let apply = || -> Result<(), Box<dyn std::error::Error>> {
        seccompiler::apply_filter(&without_clone3()?)?;
        seccompiler::apply_filter(&allowing(rules()?)?)?;
        Ok(())
    };
    apply().map_err(|error| format!("seccomp filter for compilers: {error}"))
}

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = PLAIN.iter().chain(LEGACY).map(|number| (*number, Vec::new())).collect();
    // Allowed here, so that the other filter's answer counts.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.insert(libc::SYS_clone, one(0, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, THREAD)?);
    let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
    for number in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(number, one(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(exec), 0)?);
    }
    // A limit is looked at, not set.
    rules.insert(libc::SYS_prlimit64, one(2, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?);
    // abort(3) sends a signal to its own thread. There is nobody else in the compiler's pid namespace, whatever the ids;
    // one without a namespace, as people have who are not root, may do it to itself only.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, one(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, own)?);
    Ok(rules)
}

fn one(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    Ok(vec![SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])?])
}

#[cfg(test)]
// The arguments of the system calls in these tests can only be rejected, or do no harm.
#[allow(clippy::undocumented_unsafe_blocks)]
mod tests {
    use super::*;
    use crate::seccomp::errno_under;

    fn errno_of(call: fn() -> libc::c_long) -> i32 {
        errno_under(install, call)
    }

    #[test]
    fn a_compiler_cannot_reach_anything_but_its_files() {
        let refused: [fn() -> libc::c_long; 12] = [
            || unsafe { libc::syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0) },
            || unsafe { libc::syscall(libc::SYS_execve, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_kill, libc::getpid(), 0) },
            || unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) },
            || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER) },
            || unsafe { libc::syscall(libc::SYS_mount, 0, 0, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_process_vm_readv, 1, 0, 0, 0, 0, 0) },
            || unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) },
            || unsafe { libc::syscall(libc::SYS_mprotect, 0, 4096, libc::PROT_EXEC) },
        ];
        for (number, call) in refused.into_iter().enumerate() {
            assert_eq!(errno_of(call), libc::EPERM, "number {number}");
        }
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_clone3, 0, 0) }), libc::ENOSYS);
    }

    #[test]
    fn a_compiler_has_memory_files_and_threads() {
        let thread = || std::thread::Builder::new().spawn(|| ()).map_or(-1, |thread| thread.join().map_or(-1, |()| 0));
        assert_eq!(errno_of(thread), 0);
        let map = || unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::syscall(libc::SYS_mmap, 0, 4096, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0).min(0)
        };
        assert_eq!(errno_of(map), 0);
        assert_eq!(errno_of(|| std::fs::read("/dev/null").map_or(-1, |_| 0)), 0);
    }
}
