//! The seccomp filter for modules, over the one of the container's spec.
//!
//! A list of what WASI's functions (src/wasi), the allocator and the resolver need; all else fails with EPERM. Memory
//! can no longer be made executable: native code is in place before the filter is, and nothing can bring more,
//! neither a bug in the engine nor a name lookup that finds an `nsswitch.conf` in the image.

use std::sync::OnceLock;

use seccompiler::{BpfProgram, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

use crate::seccomp::{Rules, THREAD, allowing, without_clone3};

static FILTER: OnceLock<Result<BpfProgram, String>> = OnceLock::new();

/// System calls that are allowed whatever their arguments.
const PLAIN: &[libc::c_long] = &[
    // Files.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_utimensat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_getdents64,
    libc::SYS_fstatfs,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_getcwd,
    // Waiting and time.
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_eventfd2,
    libc::SYS_sched_yield,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_pipe2,
    // Sockets; which ones can be made is restricted below.
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_shutdown,
    // Memory that is not executable, see below for the rest.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_membarrier,
    // The process itself.
    libc::SYS_getrandom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
];

/// Older forms of the same calls, which arm64 does not have.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_dup2,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_readlink,
    libc::SYS_time,
    libc::SYS_getdents,
    libc::SYS_epoll_create,
    libc::SYS_pipe,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[libc::c_long] = &[];

/// Terminal and readiness queries. Above all not TIOCSTI, which types into the terminal.
const IOCTLS: [u64; 4] = [libc::FIONREAD, libc::FIONBIO, libc::TCGETS, libc::TIOCGWINSZ];

/// Address families: the guest's own, and what glibc's resolver uses (nscd's socket, a routing query).
const FAMILIES: [libc::c_int; 4] = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX, libc::AF_NETLINK];

/// What a process needs that reads a module, beyond what the module needs: memory for code and for bounds, the timer of its
/// limit, the file in which its signals are, the steps of the final hardening.
const WHILE_LOADING: &[libc::c_long] = &[
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_prlimit64,
    libc::SYS_setrlimit,
    libc::SYS_setitimer,
    libc::SYS_signalfd4,
    libc::SYS_prctl,
    libc::SYS_seccomp,
    libc::SYS_close_range,
];

/// What fcntl(2) is used for. Not to have signals sent (`F_SETOWN`, `F_SETSIG`): in a pid namespace that a pod shares
/// they would reach others.
const COMMANDS: [libc::c_int; 6] =
    [libc::F_DUPFD, libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];

/// Stands in the compiled filter for the process id, which is not known then. No process has this one: ids end at 2^22
/// (proc_sys_kernel(5)).
const OWN_PID: u32 = 0x7fff_1d1d;

/// Compiles the filter, once; children of this process inherit the result.
pub fn prepare() -> Result<(), String> {
    program().and(for_loading()).map(drop)
}

/// Installs the filter in this thread. It cannot be removed.
pub fn install() -> Result<(), String> {
    apply(program()?)
}

/// Installs the filter for a process that reads a module and is not to run it yet: it may also map code, bound its own memory,
/// set a timer and load the final filter. What it refuses is refused for ever, so it allows all that the final one does.
pub fn install_for_loading(threads: bool) -> Result<(), String> {
    if threads {
        return apply(&loading(true).map_err(|error| error.to_string())?);
    }
    apply(for_loading()?)
}

/// The same for a process with plugins, which may start threads.
pub fn install_with_threads() -> Result<(), String> {
    let (without_clone3, filter) = with_threads().map_err(|error| error.to_string())?;
    apply(&without_clone3)?;
    apply(&filter)
}

fn apply(filter: &BpfProgram) -> Result<(), String> {
    let (mut filter, own) = (filter.clone(), std::process::id());
    filter.iter_mut().filter(|step| step.k == OWN_PID).for_each(|step| step.k = own);
    seccompiler::apply_filter(&filter).map_err(|error| format!("seccomp filter for modules: {error}"))
}

fn for_loading() -> Result<&'static BpfProgram, String> {
    static FILTER: OnceLock<Result<BpfProgram, String>> = OnceLock::new();
    FILTER.get_or_init(|| loading(false).map_err(|error| error.to_string())).as_ref().map_err(Clone::clone)
}

fn program() -> Result<&'static BpfProgram, String> {
    FILTER.get_or_init(|| compile().map_err(|error| error.to_string())).as_ref().map_err(Clone::clone)
}

fn compile() -> Result<BpfProgram, Box<dyn std::error::Error>> {
    allowing(rules()?)
}

fn loading(threads: bool) -> Result<BpfProgram, Box<dyn std::error::Error>> {
    let mut rules = rules()?;
    let plainly = |number: &libc::c_long| (*number, Vec::new());
    rules.extend(WHILE_LOADING.iter().map(plainly));
    if threads {
        rules.extend([libc::SYS_clone, libc::SYS_clone3].iter().map(plainly));
    }
    allowing(rules)
}

/// Two filters; of clone only what makes a thread is allowed.
fn with_threads() -> Result<(BpfProgram, BpfProgram), Box<dyn std::error::Error>> {
    let mut rules = rules()?;
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.insert(libc::SYS_clone, one_of(0, [THREAD])?);
    Ok((without_clone3()?, allowing(rules)?))
}

fn rules() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = PLAIN.iter().chain(LEGACY).map(|number| (*number, Vec::new())).collect();
    let not_executable = |argument| {
        let exec = u64::from(libc::PROT_EXEC.unsigned_abs());
        let clear = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(exec), 0)?;
        SeccompRule::new(vec![clear])
    };
    rules.insert(libc::SYS_mmap, vec![not_executable(2)?]);
    rules.insert(libc::SYS_mprotect, vec![not_executable(2)?]);
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTLS)?);
    rules.insert(libc::SYS_socket, one_of(0, FAMILIES.map(|family| u64::from(family.unsigned_abs())))?);
    rules.insert(libc::SYS_fcntl, one_of(1, COMMANDS.map(|command| u64::from(command.unsigned_abs())))?);
    // abort(3), and nobody else's end.
    rules.insert(libc::SYS_tgkill, one_of(0, [u64::from(OWN_PID)])?);
    // The process's own limits are read; setting one is not among what a guest does.
    let equal = |argument, length, value| SeccompCondition::new(argument, length, SeccompCmpOp::Eq, value);
    let own = equal(0, SeccompCmpArgLen::Dword, 0)?;
    let read = equal(2, SeccompCmpArgLen::Qword, 0)?;
    // A process that is out of memory says so by its name.
    rules.insert(libc::SYS_prctl, one_of(0, [libc::PR_SET_NAME as u64])?);
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![own, read])?]);
    Ok(rules)
}

fn one_of<const N: usize>(argument: u8, values: [u64; N]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |value| {
        SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?])
    };
    values.into_iter().map(rule).collect()
}

#[cfg(test)]
// The arguments of the system calls in these tests can only be rejected, or do no harm.
#[allow(clippy::undocumented_unsafe_blocks)]
mod tests {
    use super::*;
    use crate::seccomp::errno_under;

    /// Runs `call` under the filter in a child and returns the errno it ended with, 0 for success.
    fn errno_of(call: fn() -> libc::c_long) -> i32 {
        prepare().unwrap();
        errno_under(install, call)
    }

    #[test]
    fn what_would_leave_the_sandbox_is_refused() {
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_execve, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_ptrace, 0, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_mount, 0, 0, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSTI, 0) }), libc::EPERM);
        assert_eq!(
            errno_of(|| unsafe { libc::syscall(libc::SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, 0) }),
            libc::EPERM
        );
    }

    #[test]
    fn with_plugins_there_are_threads_and_no_more_processes_than_without() {
        let errno_of = |call| errno_under(install_with_threads, call);
        let thread = || std::thread::Builder::new().spawn(|| ()).map_or(-1, |thread| thread.join().map_or(-1, |()| 0));
        assert_eq!(errno_of(thread), 0);
        prepare().unwrap();
        assert_ne!(errno_under(install, thread), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_clone3, 0, 0) }), libc::ENOSYS);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_execve, 0, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_mprotect, 0, 4096, libc::PROT_EXEC) }), libc::EPERM);
    }

    #[test]
    fn memory_cannot_be_made_executable() {
        fn map(protection: libc::c_int) -> libc::c_long {
            // SAFETY: a fresh anonymous mapping.
            unsafe {
                libc::syscall(libc::SYS_mmap, 0, 4096, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
            }
        }
        assert_eq!(errno_of(|| map(libc::PROT_READ | libc::PROT_WRITE).min(0)), 0);
        assert_eq!(errno_of(|| map(libc::PROT_READ | libc::PROT_EXEC)), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_mprotect, 0, 4096, libc::PROT_EXEC) }), libc::EPERM);
    }

    #[test]
    fn signals_reach_nobody_else() {
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), 0) }), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_kill, 1, 0) }), libc::EPERM);
        for command in
            [libc::F_SETOWN, 10 /* F_SETSIG */, 15 /* F_SETOWN_EX */, libc::F_SETLEASE, libc::F_NOTIFY]
        {
            assert!(!COMMANDS.contains(&command));
        }
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_fcntl, 0, libc::F_SETOWN, 1) }), libc::EPERM);
        assert_eq!(
            errno_of(|| unsafe {
                libc::syscall(libc::SYS_fcntl, 0, 10 /* F_SETSIG */, 9)
            }),
            libc::EPERM
        );
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_fcntl, 1, libc::F_GETFL) }), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_prlimit64, 1, libc::RLIMIT_DATA, 0, 0) }), libc::EPERM);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_prlimit64, 0, libc::RLIMIT_DATA, 0, 0) }), 0);
    }

    #[test]
    fn what_a_guest_does_is_allowed() {
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0) }), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_getrandom, 0, 0, 0) }), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NAME, c"x".as_ptr()) }), 0);
        assert_eq!(errno_of(|| unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1) }), libc::EPERM);
        assert_ne!(errno_of(|| unsafe { libc::syscall(libc::SYS_ioctl, 0, libc::FIONREAD, 0) }), libc::EPERM);
    }
}
