//! Options of `docker run`. Those that mean nothing to a module must do it no harm; the effects are looked at from
//! outside, as a module has no /proc.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use e2e::{
    Kind, Scene, command,
    command::read,
    docker::{Container, docker},
    expect_as_under_runc, for_kinds, until,
};

for_kinds! {
    resource_limits_of_the_process_are_set;
    the_oom_score_is_adjusted;
    kernel_parameters_are_set;
    names_of_host_and_domain_are_set;
    a_device_is_there: Linux Runc;
    a_device_of_a_class_is_there: Linux Runc;
    what_a_device_s_class_sets_is_set;
    a_cgroup_has_the_parent_asked_for;
    an_init_process_is_put_before_the_program;
    a_read_only_root_is_not_written_to;
    without_capabilities_the_program_runs;
    no_new_privileges_are_to_be_had;
    a_read_only_mount_is_so_to_its_depth;
    the_size_of_shared_memory_is_set;
    later_mounts_reach_a_container_that_asked_for_them;
    later_mounts_do_not_reach_other_containers;
    the_signal_to_stop_is_the_one_asked_for;
    a_restart_policy_starts_a_program_anew;
    files_in_memory_are_writable;
    a_seccomp_profile_of_one_s_own_is_kept_to: Linux Runc;
    many_options_at_once_do_no_harm;
}

fn start(scene: &Scene, kind: Kind, flags: &[&str]) -> Container {
    let container = scene.docker(kind).flags(flags.iter().copied()).detach(kind.sleeper());
    container.says("sleeping");
    container
}

/// What `nsenter` finds in the namespaces of a container.
fn inside(container: &Container, flags: &[&str], words: &[&str]) -> String {
    let target = container.init().pid.to_string();
    let enter = command("nsenter").args(["--target", &target]).args(flags.iter().copied());
    enter.args(words.iter().copied()).run().stdout.trim().to_owned()
}

fn resource_limits_of_the_process_are_set(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=300:400"];
        let limits = read(start(scene, kind, &flags).init().file("limits"));
        let asked = ["Max open files", "Max core file size", "Max processes"];
        limits.lines().filter(|line| asked.iter().any(|name| line.starts_with(name))).map(String::from).collect()
    });
}

fn the_oom_score_is_adjusted(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--oom-score-adj", "500"]);
    assert_eq!(read(container.init().file("oom_score_adj")), "500\n");
}

fn kernel_parameters_are_set(scene: &Scene, kind: Kind) {
    let (network, ipc) = ("net.ipv4.ip_unprivileged_port_start", "kernel.msgmax");
    let container = start(scene, kind, &["--sysctl", &format!("{network}=81"), "--sysctl", &format!("{ipc}=4321")]);
    assert_eq!(inside(&container, &["--net", "--ipc"], &["sysctl", "-n", network, ipc]), "81\n4321");
}

fn names_of_host_and_domain_are_set(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--hostname", "guest", "--domainname", "e2e.example"]);
    assert_eq!(inside(&container, &["--uts"], &["uname", "-n"]), "guest");
    let names = inside(&container, &["--uts"], &["sysctl", "-n", "kernel.domainname"]);
    assert_eq!(names, "e2e.example");
}

fn a_device_is_there(scene: &Scene, kind: Kind) {
    // One that containers do not have anyway; it is opened, not used.
    let run = scene.docker(kind).flags(["--device", "/dev/loop-control:/dev/other:r"]);
    let script = "true </dev/other && echo read; true 2>/dev/null >>/dev/other || echo not written";
    run.run(["sh", "-c", script]).prints("read\nnot written\n");
}

/// A description of devices (CDI) for the time of a test.
struct DeviceClass;

impl DeviceClass {
    fn new() -> Self {
        fs::create_dir_all("/etc/cdi").unwrap();
        let spec = serde_json::json!({
            "cdiVersion": "0.6.0",
            "kind": "e2e.example/class",
            "devices": [{
                "name": "one",
                "containerEdits": {
                    "env": ["FROM_CLASS=one"],
                    "deviceNodes": [{ "path": "/dev/from-class", "hostPath": "/dev/zero", "permissions": "r" }],
                },
            }],
        });
        fs::write("/etc/cdi/e2e.json", spec.to_string()).unwrap();
        Self
    }
}

impl Drop for DeviceClass {
    fn drop(&mut self) {
        // The directory is watched by Docker: it stays.
        let _ = fs::remove_file("/etc/cdi/e2e.json");
    }
}

/// A run with the device, as soon as Docker has read the description.
fn with_device(scene: &Scene, kind: Kind, words: &[&str]) -> e2e::Finished {
    let _class = DeviceClass::new();
    until("a device that Docker knows", || {
        let run = scene.docker(kind).flags(["--device", "e2e.example/class=one"]).run(words.iter().copied());
        (!run.stderr.contains("unresolvable")).then_some(run)
    })
}

fn a_device_of_a_class_is_there(scene: &Scene, kind: Kind) {
    with_device(scene, kind, &["sh", "-c", "head -c 3 /dev/from-class | wc -c"]).exits(0).prints("3\n");
}

fn what_a_device_s_class_sets_is_set(scene: &Scene, kind: Kind) {
    let (words, key) = kind.either((["/world.wasm"], "env.FROM_CLASS"), (["env"], "FROM_CLASS"));
    assert_eq!(with_device(scene, kind, &words).exits(0).value(key), "one");
}

/// A parent for the containers' cgroups, as Docker's cgroup driver names it. Docker removes what it made for a container,
/// not its parent.
struct Parent(&'static str);

impl Parent {
    fn new() -> Self {
        let driver = docker(["info", "--format", "{{.CgroupDriver}}"]).run();
        Self(if driver.stdout.trim() == "systemd" { "e2eparent.slice" } else { "/e2e-parent" })
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        e2e::docker::remove_all();
        let script = format!("systemctl stop {0} || rmdir /sys/fs/cgroup/{0} /sys/fs/cgroup/*/{0}", self.0);
        let _ = command("sh").args(["-c", &script]).try_finish();
    }
}

fn a_cgroup_has_the_parent_asked_for(scene: &Scene, kind: Kind) {
    let parent = Parent::new();
    let below = format!("/{}/", parent.0.trim_start_matches('/'));
    expect_as_under_runc(kind, |kind| {
        let container = start(scene, kind, &["--cgroup-parent", parent.0]);
        let id = container.inspect(".Id");
        let groups = read(container.init().file("cgroup"));
        let lines = groups.lines().filter(|line| line.contains(&below));
        let mut lines: Vec<_> = lines.filter_map(|line| Some(line.split_once(':')?.1.replace(&id, "ID"))).collect();
        if lines.len() > 1 {
            // Of several hierarchies, those without a controller need not be joined.
            lines.retain(|line| !line.starts_with(':') && !line.starts_with("name="));
        }
        lines.sort();
        lines
    });
}

fn an_init_process_is_put_before_the_program(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--init"]);
    let words = kind.either("/sleep.wasm 600", "sleep 600");
    until("the program", || container.processes().iter().any(|process| process.command.ends_with(words)).then_some(()));
    container.stop().takes_less_than(Duration::from_secs(5));
    assert_eq!(container.exit_code(), 143);
}

/// Words that make a file.
fn touch(kind: Kind, path: &str) -> Vec<&str> {
    kind.either(vec!["/files.wasm", "write", path, ""], vec!["touch", path])
}

fn a_read_only_root_is_not_written_to(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).flags(["--read-only", "--tmpfs", "/tmp"]);
    run.run(touch(kind, "/made")).exits(1).says_in_one_line(&["ead-only file system"]);
    run.run(touch(kind, "/tmp/made")).exits(0);
}

fn without_capabilities_the_program_runs(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--cap-drop", "ALL"]);
    assert_eq!(container.init().status("CapEff"), "0000000000000000");
}

fn no_new_privileges_are_to_be_had(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--security-opt", "no-new-privileges"]);
    assert_eq!(container.init().status("NoNewPrivs"), "1");
}

/// A directory with a file system of its own mounted below it, until it is dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(path: std::path::PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        command("mount").args(["-t", "tmpfs", "e2e", &path.display().to_string()]).run();
        Self(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = command("umount").args(["-l", &self.0.display().to_string()]).try_finish();
    }
}

fn a_read_only_mount_is_so_to_its_depth(scene: &Scene, kind: Kind) {
    let outer = scene.directory().join("outer");
    let _inner = Mounted::new(outer.join("inner"));
    // Docker allows it for runtimes only whose binary it asks itself.
    for (option, path, code) in
        [("rro", "/outer/inner/made", 1), ("ro", "/outer/inner/made", 0), ("ro", "/outer/made", 1)]
    {
        let bundle = scene.bundle(kind, &touch(kind, path));
        bundle.configure(|spec| {
            let mount = serde_json::json!({
                "destination": "/outer", "type": "bind", "source": outer, "options": ["rbind", "rprivate", option],
            });
            spec["mounts"].as_array_mut().unwrap().push(mount);
        });
        let shim = bundle.start();
        shim.create().unwrap();
        shim.start().unwrap();
        assert_eq!(shim.wait().unwrap(), code, "writing to {path} below a mount with {option}");
        shim.delete().unwrap();
    }
}

fn the_size_of_shared_memory_is_set(scene: &Scene, kind: Kind) {
    let container = start(scene, kind, &["--shm-size", "2m"]);
    let mounts = read(container.init().file("mountinfo"));
    let shm = mounts.lines().find(|line| line.contains(" /dev/shm ")).expect("a mount on /dev/shm");
    assert!(shm.contains("size=2048k"), "{shm}");
}

/// Whether a mount made under a volume after the start is seen in a container.
fn sees_later_mount(scene: &Scene, kind: Kind, propagation: &str) -> bool {
    let outer = Mounted::new(scene.directory().join(scene.name()));
    command("mount").args(["--make-shared", &outer.0.display().to_string()]).run();
    let volume = format!("{}:/outer:{propagation}", outer.0.display());
    let container = start(scene, kind, &["-v", &volume]);
    let _later = Mounted::new(outer.0.join("later"));
    let seen = read(container.init().file("mountinfo")).contains(" /outer/later ");
    container.remove();
    seen
}

fn later_mounts_reach_a_container_that_asked_for_them(scene: &Scene, kind: Kind) {
    for propagation in ["rslave", "rshared"] {
        assert!(sees_later_mount(scene, kind, propagation), "{propagation}");
    }
}

fn later_mounts_do_not_reach_other_containers(scene: &Scene, kind: Kind) {
    assert!(!sees_later_mount(scene, kind, "rprivate"));
}

fn the_signal_to_stop_is_the_one_asked_for(scene: &Scene, kind: Kind) {
    let script = "trap 'exit 130' INT; echo sleeping; while :; do sleep 0.1; done";
    let words = kind.either(vec!["/sleep.wasm", "600"], vec!["sh", "-c", script]);
    let container = scene.docker(kind).flags(["--stop-signal", "SIGINT"]).detach(words);
    container.says("sleeping").stop().takes_less_than(Duration::from_secs(5));
    assert_eq!(container.exit_code(), 130);
}

fn a_restart_policy_starts_a_program_anew(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flag("--restart=on-failure:2").detach(kind.exiter(3));
    until("two restarts", || {
        let count = container.inspect(".RestartCount") == "2";
        (count && container.inspect(".State.Status") == "exited").then_some(())
    });
    assert_eq!(container.exit_code(), 3);
}

fn files_in_memory_are_writable(scene: &Scene, kind: Kind) {
    let run = scene.docker(kind).flags(["--tmpfs", "/memory:size=1m,mode=1700,uid=1000", "-u", "1000"]);
    run.run(touch(kind, "/memory/made")).exits(0);
    let container = start(scene, kind, &["--tmpfs", "/memory:size=1m,mode=1700,uid=1000"]);
    let directory = container.init().file("root/memory").metadata().unwrap();
    assert_eq!((directory.mode() & 0o7777, directory.uid()), (0o1700, 1000));
}

fn a_seccomp_profile_of_one_s_own_is_kept_to(scene: &Scene, kind: Kind) {
    let profile = scene.directory().join("profile.json");
    let rule = serde_json::json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 });
    let text = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }).to_string();
    fs::write(&profile, text).unwrap();
    let option = format!("seccomp={}", profile.display());
    let run = scene.docker(kind).flags(["--security-opt", &option]).run(["mkdir", "/tmp/made"]);
    run.exits(1).says_in_one_line(&["File descriptor in bad state"]);
}

fn many_options_at_once_do_no_harm(scene: &Scene, kind: Kind) {
    let flags = "--pid=host --ipc=host --uts=host --cgroupns=private --cap-add=SYS_PTRACE --group-add=7 --blkio-weight=500 \
                 --cpu-rt-runtime=0 --device=/dev/null:/dev/nothing --memory-swappiness=0 --label=some.key=value --annotation \
                 some.key=value --expose=80 --dns=10.0.0.1 --add-host=some.host:10.0.0.2 --no-healthcheck \
                 --security-opt=seccomp=unconfined --security-opt=apparmor=unconfined --security-opt=label=disable";
    let run = scene.docker(kind).flags(flags.split_whitespace());
    let words = kind.either(vec!["/hello.wasm", "word"], vec!["sh", "-c", "echo hello from wasm; echo word"]);
    run.run(words).exits(0).prints("hello from wasm\nword\n");
}
