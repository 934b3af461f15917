//! The seccomp profile of a container's spec: when it is loaded, and what a module's process needs beside it.
//!
//! libcontainer 0.7.0 loads the profile of a program that may gain no privileges before it waits for the start
//! (`process/init/process.rs`), so that a profile has to allow what the runtime does until execve: more than under runc.
//! Here such a profile is loaded as the last thing before execve. A module is never executed: its profile comes when the
//! module is loaded and everything of the node is gone, and is amended by what the engine itself does to run any module.

use std::collections::HashSet;

use libcontainer::seccomp::initialize_seccomp;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall, LinuxSyscallBuilder, Process, Spec};

/// What the engine does for any module: memory, signals, time, waiting, its standard streams and the directories that
/// are open for it. The last two load our own filter, which forbids both but for the process's name, and has no more of the
/// others than it always has.
const ENGINE: &[&str] = &[
    "brk",
    "madvise",
    "membarrier",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "getpid",
    "gettid",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "tgkill",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "gettimeofday",
    "nanosleep",
    "restart_syscall",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_wait",
    "futex",
    "poll",
    "ppoll",
    "sched_yield",
    "getrandom",
    "prlimit64",
    "rseq",
    "sched_getaffinity",
    "set_robust_list",
    "sysinfo",
    "uname",
    "close",
    "dup",
    "dup3",
    "fcntl",
    "fstat",
    "fstatfs",
    "getcwd",
    "getdents64",
    "ioctl",
    "lseek",
    "newfstatat",
    "openat",
    "read",
    "readlinkat",
    "readv",
    "statx",
    "write",
    "writev",
    "exit",
    "exit_group",
    "prctl",
    "seccomp",
];

/// When a profile is loaded, which is in one of the two.
#[derive(Debug, Default)]
pub struct Profile {
    /// While the process still has the privileges that it takes.
    pub early: Option<LinuxSeccomp>,
    /// When nothing is left to be done by the runtime. Nobody gains privileges then.
    pub late: Option<LinuxSeccomp>,
}

impl Profile {
    /// For the program of `process`, which may be a `module`. A profile that asks an agent is an early one.
    pub fn new(profile: Option<LinuxSeccomp>, process: &Process, module: bool) -> Self {
        let Some(profile) = profile else { return Self::default() };
        match module || process.no_new_privileges() == Some(true) {
            _ if asks_agent(&profile) => Self { early: Some(profile), late: None },
            false => Self { early: Some(profile), late: None },
            true if module => Self { early: None, late: Some(for_module(profile)) },
            true => Self { early: None, late: Some(profile) },
        }
    }
}

/// Takes the profile out of `spec` where it is a late one; the other is libcontainer's to load.
pub fn take(spec: &mut Spec, module: bool) -> Option<LinuxSeccomp> {
    let process = spec.process().clone()?;
    let linux = spec.linux_mut().as_mut()?;
    let Profile { early, late } = Profile::new(linux.seccomp().clone(), &process, module);
    linux.set_seccomp(early);
    late
}

fn asks_agent(profile: &LinuxSeccomp) -> bool {
    let notifies = |rule: &LinuxSyscall| rule.action() == LinuxSeccompAction::ScmpActNotify;
    profile.syscalls().iter().flatten().any(notifies)
}

/// The profile with what a module's process needs of the calls that it leaves to its default. What it names stays as it
/// is, and so does what the guest can do beyond: our own filter lies above.
fn for_module(mut profile: LinuxSeccomp) -> LinuxSeccomp {
    use LinuxSeccompAction::{ScmpActAllow, ScmpActLog};
    if [ScmpActAllow, ScmpActLog].contains(&profile.default_action()) {
        return profile;
    }
    let mut rules = profile.syscalls().clone().unwrap_or_default();
    let named: HashSet<&String> = rules.iter().flat_map(|rule| rule.names()).collect();
    let missing: Vec<String> = ENGINE.iter().map(ToString::to_string).filter(|name| !named.contains(name)).collect();
    if let Ok(rule) = LinuxSyscallBuilder::default().names(missing).action(ScmpActAllow).build() {
        rules.push(rule);
    }
    profile.set_syscalls(Some(rules));
    profile
}

/// Loads a profile into this process, which may gain no privileges or has what it takes.
///
/// # Errors
/// What is wrong with it.
pub fn load(profile: &LinuxSeccomp) -> Result<(), String> {
    match initialize_seccomp(profile) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("seccomp profiles that notify an agent are not supported in exec".to_owned()),
        Err(error) => Err(format!("seccomp profile: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(no_new_privileges: bool, seccomp: &serde_json::Value) -> Spec {
        serde_json::from_value(serde_json::json!({
            "ociVersion": "1.2.0",
            "process": { "cwd": "/", "user": { "uid": 0, "gid": 0 }, "noNewPrivileges": no_new_privileges },
            "linux": { "seccomp": seccomp },
        }))
        .unwrap()
    }

    fn names(profile: &LinuxSeccomp) -> Vec<&String> {
        profile.syscalls().iter().flatten().flat_map(|rule| rule.names()).collect()
    }

    #[test]
    fn the_engine_s_own_calls_are_added_where_a_profile_does_not_name_them() {
        let strict = serde_json::json!({
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [{ "names": ["write"], "action": "SCMP_ACT_ALLOW" }, { "names": ["openat"], "action": "SCMP_ACT_ERRNO" }],
        });
        let mut with_module = spec(false, &strict);
        let profile = take(&mut with_module, true).unwrap();
        assert!(with_module.linux().as_ref().unwrap().seccomp().is_none());
        let all = names(&profile);
        for name in ENGINE {
            assert_eq!(all.iter().filter(|other| other == &name).count(), 1, "{name}");
        }
        for name in ["socket", "connect", "unlinkat", "execve", "clone"] {
            assert!(!all.contains(&&name.to_owned()), "{name}");
        }
        let open = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["connect"], "action": "SCMP_ACT_ERRNO" }] });
        assert_eq!(names(&take(&mut spec(false, &open), true).unwrap()), ["connect"]);
    }

    #[test]
    fn a_program_s_profile_waits_only_where_it_can_be_loaded_without_privileges() {
        let profile = serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] });
        assert!(take(&mut spec(true, &profile), false).is_some());
        assert!(take(&mut spec(false, &profile), false).is_none());
        let asks = serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
        });
        let mut asking = spec(true, &asks);
        assert!(take(&mut asking, true).is_none());
        assert!(asking.linux().as_ref().unwrap().seccomp().is_some());
    }
}
