//! The limit on descriptors: a daemon needs some for each process of its pod, and what it executes gets what it got.

use std::{io, os::unix::process::CommandExt, process::Command, sync::OnceLock};

/// What this process was started with.
static GIVEN: OnceLock<libc::rlimit> = OnceLock::new();

/// Raises the soft limit to the hard one. containerd's children have the soft limit that containerd was started with,
/// often 1024, which is small so that programs with select(2) work; this one has none.
pub fn raise() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes one structure.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    set(&libc::rlimit { rlim_cur: limit.rlim_max, ..limit })?;
    // It is raised once.
    let _ = GIVEN.set(limit);
    Ok(())
}

/// Gives what `command` starts the limits that this process was given.
pub fn give_back(command: &mut Command) {
    let Some(limit) = GIVEN.get() else { return };
    // SAFETY: the closure makes a system call only.
    unsafe { command.pre_exec(|| set(limit)) };
}

fn set(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: reads one structure.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression test for C2.
    #[test]
    fn the_soft_limit_is_the_hard_one_here_and_what_it_was_in_children() {
        let shell = |command: &mut Command| {
            let output = command.args(["-c", "ulimit -Sn; ulimit -Hn"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let given = shell(&mut Command::new("sh"));
        raise().unwrap();
        assert_eq!(shell(&mut Command::new("sh")), [&*given[1], &*given[1]]);
        let mut command = Command::new("sh");
        give_back(&mut command);
        assert_eq!(shell(&mut command), given);
    }
}
