//! A Linux program under this runtime behaves as under runc.

use std::{fs, os::unix::fs::PermissionsExt};

use e2e::{Kind, Scene, docker};

/// What `words` print with `flags`, under this runtime and under runc, both of which must succeed.
fn both(scene: &Scene, flags: &[&str], words: &[&str]) -> [Vec<String>; 2] {
    [Kind::Linux, Kind::Runc].map(|kind| {
        let run = scene.docker(kind).flags(flags.iter().copied()).run(words.iter().copied()).exits(0);
        run.lines().iter().map(ToString::to_string).collect()
    })
}

fn expect_the_same(flags: &[&str], words: &[&str]) {
    let scene = Scene::new();
    let [linux, runc] = both(&scene, flags, words);
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (ours, theirs) = (only(&linux, &runc), only(&runc, &linux));
    assert!(linux == runc, "{words:?} with {flags:?}\n  only here: {ours:#?}\n  only under runc: {theirs:#?}");
}

/// Identity, privileges, signals and filters of the process itself; neither its ids nor its memory.
const STATUS: [&str; 3] = [
    "sh",
    "-c",
    "grep -E '^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|Speculation.*|Sig...|Shd...|Umask|Cpus_allowed):' /proc/self/status",
];

/// Where what is mounted, how, and as which type.
// Of the hierarchies of cgroup v1, those without a controller are not joined, and the others are private where runc's
// get the node's later mounts, of which there are none below a cgroup.
const MOUNTS: [&str; 3] = [
    "sh",
    "-c",
    "awk '$(NF-2) != \"cgroup\" { print $5, $6, $7, $(NF-2) }
        $(NF-2) == \"cgroup\" && !/name=/ { print $5, $6, $(NF-2) }' /proc/self/mountinfo",
];

#[test]
fn exit_codes_and_both_streams_are_passed_on() {
    let scene = Scene::new();
    for code in [0, 1, 42, 255] {
        let script = format!("echo out; echo err >&2; exit {code}");
        scene.docker(Kind::Linux).run(["sh", "-c", &script]).exits(code).prints("out\n").complains("err\n");
    }
}

#[test]
fn the_image_s_command_runs_and_reads_stdin() {
    let scene = Scene::new();
    scene.docker(Kind::Linux).input("echo from stdin; exit 3").run([""; 0]).exits(3).prints("from stdin\n");
}

#[test]
fn pipes_and_children_work() {
    let scene = Scene::new();
    scene.docker(Kind::Linux).run(["sh", "-c", "seq 1000 | sort -rn | head -n 1"]).exits(0).prints("1000\n");
    scene.docker(Kind::Linux).run(["sh", "-c", "(sleep 0.1; echo late) & wait; echo $$"]).exits(0).prints("late\n1\n");
}

#[test]
fn standard_streams_can_be_opened_again() {
    let scene = Scene::new();
    for user in ["0", "1000"] {
        let linux = scene.docker(Kind::Linux).flags(["--user", user]);
        linux
            .run(["sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr"])
            .exits(0)
            .prints("out\n")
            .complains("err\n");
    }
}

#[test]
fn a_script_runs_by_its_first_line() {
    let scene = Scene::new();
    let script = scene.directory().join("script");
    fs::write(&script, "#!/bin/sh -e\necho \"$0 $*\"\nexit 9\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let volume = format!("{}:/script", script.display());
    scene.docker(Kind::Linux).flags(["-v", &volume]).run(["/script", "a", "b"]).exits(9).prints("/script a b\n");
}

#[test]
fn long_output_is_not_lost() {
    let scene = Scene::new();
    let expected: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    let (run, container) = scene.docker(Kind::Linux).keep(["seq", "300000"]);
    assert!(run.exits(0).stdout == expected, "through docker run");
    assert!(container.logs().stdout == expected, "through docker logs");
}

#[test]
fn an_init_reaps_and_passes_signals_on() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Linux).flag("--init").detach(["sh", "-c", "echo up; exec sleep 600"]);
    container.says("up").stop().takes_less_than(std::time::Duration::from_millis(2500));
    assert_eq!(container.exit_code(), 143);
}

#[test]
fn what_the_child_of_a_program_leaves_ends_with_it() {
    let scene = Scene::new();
    for kind in [Kind::Linux, Kind::Runc] {
        scene.docker(kind).run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo done"]).exits(0).prints("done\n");
    }
}

#[test]
fn its_privileges_are_those_under_runc() {
    expect_the_same(&[], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_without_capabilities() {
    expect_the_same(&["--cap-drop", "ALL"], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_with_one_capability() {
    expect_the_same(&["--cap-drop", "ALL", "--cap-add", "CHOWN"], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_for_another_user_with_more_groups() {
    expect_the_same(&["--user", "1000:50", "--group-add", "7", "--cap-add", "NET_ADMIN"], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_when_there_may_be_no_new_ones() {
    expect_the_same(&["--security-opt", "no-new-privileges", "--user", "app"], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_without_a_seccomp_profile() {
    expect_the_same(&["--security-opt", "seccomp=unconfined"], &STATUS);
}

#[test]
fn its_privileges_are_those_under_runc_when_privileged() {
    expect_the_same(&["--privileged"], &STATUS);
}

#[test]
fn its_user_groups_and_names_are_those_under_runc() {
    let script = "id; hostname; cat /etc/hostname; pwd; umask; cat /proc/self/cmdline | tr '\\0' ' '";
    expect_the_same(&["--hostname", "guest", "--domainname", "e2e", "-w", "/tmp"], &["sh", "-c", script]);
}

#[test]
fn its_environment_is_that_under_runc() {
    // One variable only: of several, Docker's client mixes up the order.
    expect_the_same(&["-e", "B=two words", "--hostname", "guest"], &["env"]);
    expect_the_same(&["--user", "app", "--hostname", "guest"], &["env"]);
}

#[test]
fn its_mounts_are_those_under_runc() {
    expect_the_same(&["--tmpfs", "/t:size=1m,mode=1700", "--shm-size", "2m", "-v", "/usr/share:/v:ro"], &MOUNTS);
}

#[test]
fn its_mounts_are_those_under_runc_with_a_read_only_root() {
    expect_the_same(&["--read-only"], &MOUNTS);
}

#[test]
fn its_mounts_are_those_under_runc_when_privileged() {
    expect_the_same(&["--privileged"], &MOUNTS);
}

#[test]
fn its_devices_are_those_under_runc() {
    let list = ["sh", "-c", "ls -lR /dev | sed -E 's/ [A-Z][a-z]{2} +[0-9]+ +[0-9:]+ / /; /^total/d'"];
    expect_the_same(&["--device", "/dev/null:/dev/nothing:r"], &list);
}

#[test]
fn its_limits_and_settings_are_those_under_runc() {
    let flags =
        ["--ulimit", "nofile=100:200", "--sysctl", "net.ipv4.ip_unprivileged_port_start=81", "--oom-score-adj", "500"];
    let script = "cat /proc/self/limits /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start";
    expect_the_same(&flags, &["sh", "-c", script]);
}

#[test]
fn its_open_files_are_those_under_runc() {
    expect_the_same(&[], &["sh", "-c", "for fd in /proc/self/fd/*; do readlink $fd | sed 's/:.*//'; done"]);
}

#[test]
fn what_it_must_not_reach_is_closed_as_under_runc() {
    let script = "for path in /proc/kcore /proc/keys /proc/timer_list /proc/sysrq-trigger /sys/firmware /sys/fs/cgroup; do \
                  ls -d $path; cat $path/x 2>&1; head -c 1 $path 2>&1 | od -c; echo 1 2>&1 >$path; done; \
                  mkdir /sys/fs/cgroup/x 2>&1; mount -t tmpfs t /mnt 2>&1; unshare -U true 2>&1; echo end";
    expect_the_same(&[], &["sh", "-c", script]);
}

#[test]
fn it_cannot_raise_its_own_limits() {
    let scene = Scene::new();
    let script = "for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do \
                  test -e $file || continue; echo 1073741824 2>/dev/null >$file; done; \
                  mkdir /sys/fs/cgroup/memory/inner 2>/dev/null; ls -d /sys/fs/cgroup/memory/inner 2>/dev/null; \
                  cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null";
    for kind in [Kind::Linux, Kind::Runc] {
        scene.docker(kind).flags(["-m", "64m"]).run(["sh", "-c", script]).prints("67108864\n");
    }
}

#[test]
fn its_resources_are_those_under_runc() {
    let flags = ["-m", "64m", "--memory-swap", "64m", "--cpu-shares", "512", "--cpus", "0.5", "--pids-limit", "50"];
    let script = "cd /sys/fs/cgroup; for file in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes \
                  cpu/cpu.shares cpu/cpu.cfs_quota_us pids/pids.max memory.max cpu.weight cpu.max pids.max; do \
                  test -e $file && echo $file $(cat $file); done; echo end";
    expect_the_same(&flags, &["sh", "-c", script]);
}

#[test]
fn a_program_that_is_not_there_or_not_executable_is_refused_as_by_runc() {
    let scene = Scene::new();
    for (word, code, cause) in [
        ("no-such-program", 127, "executable file not found in $PATH"),
        ("/no/such/program", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "is a directory"),
    ] {
        for kind in [Kind::Linux, Kind::Runc] {
            scene.docker(kind).run([word]).exits(code).says_in_one_line(&[word, cause]);
        }
    }
}

#[test]
fn a_linux_and_a_wasm_container_share_a_volume() {
    let scene = Scene::new();
    let name = scene.name();
    let volume = format!("{name}:/v");
    docker::volume(&name);
    scene.docker(Kind::Linux).flags(["-v", &volume]).run(["sh", "-c", "echo from linux >/v/file"]).exits(0);
    scene
        .docker(Kind::Wasm)
        .flags(["-v", &volume])
        .run(["/files.wasm", "read", "/v/file"])
        .exits(0)
        .prints("from linux\n");
}
