//! Processes that are remembered longer than they may live.

use std::fs;

use serde::{Deserialize, Serialize};
use wasmedge_shim_protocol::Pidfd;

/// A process, told apart from later ones with the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// Process id.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot.
    pub start_time: u64,
}

impl Init {
    /// The process with this id, as it is now; `None` where there is none.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(Self { pid, start_time: start_time(&stat)? })
    }

    /// The process behind `pidfd`, whose id is `pid`; `None` where it has ended.
    pub fn behind(pidfd: &Pidfd, pid: i32) -> Option<Self> {
        let init = Self::of(pid)?;
        // Asked last: until now the id was this process's.
        (!pidfd.has_ended()).then_some(init)
    }

    /// This very process by descriptor; `None` where it has ended. Whoever waits afterwards holds on to that: the id may be
    /// another process's then.
    pub fn open(self) -> Option<Pidfd> {
        let pidfd = Pidfd::open(self.pid).ok()?;
        // Only now: before, the id could still have changed hands.
        (self.exists() && !pidfd.has_ended()).then_some(pidfd)
    }

    /// Whether this very process still exists (perhaps as a zombie).
    pub fn exists(self) -> bool {
        Self::of(self.pid) == Some(self)
    }
}

/// When the process of a `/proc/PID/stat` was started (proc_pid_stat(5)).
pub(super) fn start_time(stat: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything; the fields after it are numbers. The state is field 3.
    stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_by_its_start_time() {
        let me = Init::of(std::process::id().cast_signed()).unwrap();
        assert!(me.exists());
        assert!(!Init { start_time: me.start_time + 1, ..me }.exists());
        assert_eq!(Init::of(i32::MAX), None);
    }
}
