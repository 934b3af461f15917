//! Seccomp profiles and limits that suffice under runc suffice here.

use std::fs;

use e2e::{Kind, Scene, command::read, docker::Run, for_kinds};
use serde_json::{Value, json};

for_kinds! {
    a_profile_that_is_enough_under_runc_is_enough;
    a_profile_that_refuses_a_call_is_kept_to;
    a_limit_on_private_memory_is_kept_to;
    a_limit_on_private_memory_stays_for_an_exec;
}

/// What Kubernetes' tutorial allows in `profiles/fine-grained.json`, with what runc 1.3 and busybox take beside it.
const FINE_GRAINED: &str = "accept4 epoll_wait pselect6 futex madvise epoll_ctl getsockname setsockopt vfork mmap read write \
    close arch_prctl sched_getaffinity munmap brk rt_sigaction rt_sigprocmask sigaltstack gettid clone bind socket openat \
    readlinkat exit_group epoll_create1 listen rt_sigreturn sched_yield clock_gettime connect dup2 epoll_pwait execve exit \
    fcntl getpid getuid ioctl mprotect nanosleep open poll recvfrom sendto set_tid_address setitimer writev fstatfs \
    getdents64 pipe2 getrlimit prlimit64 set_robust_list rseq getrandom readlink newfstatat fstat setuid setgid getgid statx \
    fsopen fsmount fsconfig fchdir faccessat faccessat2 umask prctl capget capset getppid kill tgkill name_to_handle_at \
    pread64 statfs fchmod fchown setgroups getgroups setresuid setresgid chdir getcwd geteuid getegid stat lstat access dup3 \
    eventfd2 uname sched_setaffinity restart_syscall clone3 getpgid open_tree move_mount";

/// What busybox takes to say a word, and no runtime is content with.
const ECHO: &str = "execve brk arch_prctl set_tid_address set_robust_list rseq prlimit64 mprotect getrandom mmap munmap \
    readlink readlinkat getuid getgid setuid setgid prctl write writev exit_group fstat newfstatat statx ioctl fcntl close read \
    openat uname";

/// Containers under a profile whose default is `otherwise`, and which may gain no privileges.
fn under(scene: &Scene, kind: Kind, otherwise: &str, rules: Value) -> Run {
    let path = scene.directory().join(format!("{}.json", scene.name()));
    fs::write(&path, json!({ "defaultAction": otherwise, "syscalls": rules }).to_string()).unwrap();
    let profile = format!("seccomp={}", path.display());
    scene.docker(kind).flags(["--security-opt", "no-new-privileges", "--security-opt", &profile])
}

fn allowed(names: &str) -> Value {
    json!([{ "names": names.split_whitespace().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW" }])
}

fn greeting(kind: Kind) -> (Vec<&'static str>, &'static str) {
    kind.either((vec!["/hello.wasm"], "hello from wasm\n"), (vec!["echo", "hello"], "hello\n"))
}

/// Case 11 of the review: the profile had to allow what the runtime does before execve.
fn a_profile_that_is_enough_under_runc_is_enough(scene: &Scene, kind: Kind) {
    let (words, text) = greeting(kind);
    for otherwise in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"] {
        // Under runc, Go's runtime is in it as well.
        let names = if kind == Kind::Runc { FINE_GRAINED } else { ECHO };
        if kind == Kind::Runc && otherwise != "SCMP_ACT_ERRNO" {
            continue;
        }
        let run = under(scene, kind, otherwise, allowed(names)).run(words.iter().copied());
        run.exits(0).prints(text);
    }
    under(scene, kind, "SCMP_ACT_ERRNO", allowed(FINE_GRAINED)).run(words.iter().copied()).exits(0).prints(text);
    if kind == Kind::Wasm {
        under(scene, kind, "SCMP_ACT_ERRNO", allowed("")).run(words).exits(0).prints(text);
    }
}

/// What is named in a profile is not added, and what a module does beyond what the engine does is not either.
fn a_profile_that_refuses_a_call_is_kept_to(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/files.wasm", "mkdir", "/tmp/made"], vec!["mkdir", "/tmp/made"]);
    let rules = json!([{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 }]);
    under(scene, kind, "SCMP_ACT_ALLOW", rules).run(words.clone()).exits(1).says_in_one_line(&["ot permitted"]);
    under(scene, kind, "SCMP_ACT_ERRNO", allowed(FINE_GRAINED)).run(words.clone()).exits(1);
    let run = scene.docker(kind).flags(["--security-opt", "no-new-privileges"]);
    run.run(words).exits(0);
}

const LIMIT: &str = "268435456";

/// Case 10 of the review: no module ran.
fn a_limit_on_private_memory_is_kept_to(scene: &Scene, kind: Kind) {
    let (words, text) = greeting(kind);
    for flags in [&[][..], &["--privileged"], &["-u", "1000"]] {
        let run = scene.docker(kind).flags(["--ulimit", &format!("data={LIMIT}")]).flags(flags.iter().copied());
        run.run(words.iter().copied()).exits(0).prints(text);
        if kind == Kind::Wasm {
            let grown = run.run(["/memory.wasm", "400"]).exits(7);
            assert!(grown.stdout.contains("memory.grow failed after"), "{grown}");
            run.run(["/memory.wasm", "64"]).exits(0);
        }
    }
    let smaller = scene.docker(kind).flags(["--ulimit", &format!("data={LIMIT}"), "-m", "64m"]);
    let container = smaller.detach(kind.sleeper());
    container.says("sleeping");
    let limits = read(container.init().file("limits"));
    let line = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[0] <= LIMIT.parse().unwrap() && numbers[1] == LIMIT.parse::<u64>().unwrap(), "{line}");
}

fn a_limit_on_private_memory_stays_for_an_exec(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flags(["--ulimit", &format!("data={LIMIT}")]).detach(kind.sleeper());
    container.says("sleeping");
    let (words, text) = greeting(kind);
    container.exec(&[], words).run().prints(text);
}

/// A limit that leaves the engine no room is named.
#[test]
fn a_limit_that_no_module_fits_in_is_named() {
    let scene = Scene::new();
    let small = scene.docker(Kind::Wasm).flags(["--ulimit", "data=1048576"]).run(["/hello.wasm"]);
    small.fails().says_in_one_line(&["/hello.wasm", "RLIMIT_DATA, 1048576 bytes, is too small"]);
    let bundle = scene.bundle(Kind::Wasm, &["/hello.wasm"]);
    bundle.configure(|spec| {
        let limit = json!({ "type": "RLIMIT_AS", "soft": 2_u64 << 30, "hard": 2_u64 << 30 });
        spec["process"]["rlimits"] = json!([limit]);
    });
    let shim = bundle.start();
    let (_, message) = shim.create().unwrap_err();
    assert!(message.contains("RLIMIT_AS, 2147483648 bytes, is too small"), "{message}");
}
