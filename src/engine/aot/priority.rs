//! The last place on the node: what makes native code goes when others need the processors, the disks or the memory.

use std::fs;

/// `IOPRIO_WHO_PROCESS` (linux/ioprio.h).
const IO_PROCESS: libc::c_int = 1;

/// `IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)` (linux/ioprio.h).
const IO_IDLE: libc::c_int = 3 << 13;

/// The lowest priority of the usual scheduler (nice(2)).
const LAST: libc::c_int = 19;

/// Lets the kernel kill this process, and those it makes, before all others when there is no memory (proc_pid_oom_score_adj(5)).
pub fn first_to_be_killed() {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "1000") {
        log::warn!("a compiler is not the first to be killed: {error}");
    }
}

/// Low, but with a little time on a busy node: for those who wait and decide, maybe with a lock in their hands.
pub fn low() {
    // SAFETY: these take integers. What fails costs others time, which is no reason to fail.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, LAST);
        libc::syscall(libc::SYS_ioprio_set, IO_PROCESS, 0, IO_IDLE);
    }
}

/// Processor time that nobody else wants (sched(7), `SCHED_IDLE`).
pub fn lowest() {
    low();
    let parameter = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads the structure; as above.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) };
}
