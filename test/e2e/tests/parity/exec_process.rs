//! What a process has that `docker exec` starts: seen from outside, as a module's container has no /proc.

use e2e::{Kind, Scene, command::read, expect_as_under_runc, for_kinds, process::Process};

for_kinds! {
    an_exec_has_the_privileges_it_has_under_runc;
    an_exec_has_the_privileges_it_has_under_runc_without_capabilities;
    an_exec_has_the_privileges_it_has_under_runc_for_another_user_with_more_groups;
    an_exec_has_the_privileges_it_has_under_runc_when_there_may_be_no_new_ones;
    an_exec_has_the_privileges_it_has_under_runc_without_a_seccomp_profile;
    an_exec_has_the_privileges_it_has_under_runc_in_a_privileged_container;
    a_privileged_exec_has_the_privileges_it_has_under_runc;
    an_exec_has_the_limits_it_has_under_runc;
    an_exec_has_the_environment_and_directory_it_has_under_runc;
    an_exec_has_the_open_files_it_has_under_runc;
    an_exec_is_in_the_cgroups_it_is_in_under_runc;
    an_exec_is_in_the_namespaces_of_its_container;
}

const STATUS: [&str; 17] = [
    "Uid",
    "Gid",
    "Groups",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "Umask",
    "Cpus_allowed",
    "Speculation_Store_Bypass",
];

/// The facts about a Linux program that `docker exec` with `exec` runs in a container with `run`, against runc's.
fn expect_the_same(
    scene: &Scene,
    kind: Kind,
    run: &[&str],
    exec: &[&str],
    facts: fn(&Process, &Process) -> Vec<String>,
) {
    expect_as_under_runc(kind, |kind| {
        let run = scene.docker(kind).image("both").flags(["--hostname", "guest"]).flags(run.iter().copied());
        let container = run.detach(kind.sleeper());
        container.says("sleeping");
        container.exec(&[&["-d"], exec].concat(), ["sleep", "700"]).run();
        facts(&container.process("sleep 700"), &container.init())
    });
}

fn privileges(process: &Process, _: &Process) -> Vec<String> {
    STATUS.map(|field| format!("{field}: {}", process.status(field))).into()
}

fn an_exec_has_the_privileges_it_has_under_runc(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &[], &[], privileges);
}

fn an_exec_has_the_privileges_it_has_under_runc_without_capabilities(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--cap-drop", "ALL"], &[], privileges);
}

fn an_exec_has_the_privileges_it_has_under_runc_for_another_user_with_more_groups(scene: &Scene, kind: Kind) {
    let run = ["--user", "1000:50", "--group-add", "7", "--cap-add", "NET_ADMIN"];
    expect_the_same(scene, kind, &run, &[], privileges);
    expect_the_same(scene, kind, &run, &["-u", "0"], privileges);
}

fn an_exec_has_the_privileges_it_has_under_runc_when_there_may_be_no_new_ones(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--security-opt", "no-new-privileges"], &["-u", "app"], privileges);
}

fn an_exec_has_the_privileges_it_has_under_runc_without_a_seccomp_profile(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--security-opt", "seccomp=unconfined"], &[], privileges);
}

fn an_exec_has_the_privileges_it_has_under_runc_in_a_privileged_container(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--privileged"], &[], privileges);
}

fn a_privileged_exec_has_the_privileges_it_has_under_runc(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &["--cap-drop", "ALL"], &["--privileged"], privileges);
}

fn an_exec_has_the_limits_it_has_under_runc(scene: &Scene, kind: Kind) {
    let run = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "500"];
    expect_the_same(scene, kind, &run, &[], |process, _| {
        let limits = read(process.file("limits"));
        let mut lines: Vec<String> = limits.lines().map(String::from).collect();
        lines.push(format!("oom_score_adj {}", read(process.file("oom_score_adj")).trim()));
        lines
    });
}

fn an_exec_has_the_environment_and_directory_it_has_under_runc(scene: &Scene, kind: Kind) {
    let facts = |process: &Process, _: &Process| {
        let environment = read(process.file("environ"));
        let mut lines: Vec<String> = environment.split_terminator('\0').map(String::from).collect();
        // Of several variables, Docker's client mixes up the order.
        lines.sort();
        lines.push(format!("in {}", process.file("cwd").read_link().expect("a working directory").display()));
        lines
    };
    expect_the_same(scene, kind, &["-e", "OUTER=1"], &["-e", "INNER=2", "-w", "/work", "-u", "app"], facts);
}

fn an_exec_has_the_open_files_it_has_under_runc(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &[], &[], |process, _| {
        let kind_of = |target: String| target.split(':').next().unwrap_or_default().to_owned();
        process.descriptors().into_iter().map(|(fd, target)| format!("{fd} {}", kind_of(target))).collect()
    });
}

fn an_exec_is_in_the_cgroups_it_is_in_under_runc(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &[], &[], |process, init| {
        let (inner, outer) = (read(process.file("cgroup")), read(init.file("cgroup")));
        let place =
            |line: &str| if outer.lines().any(|other| other == line) { "as the first process" } else { "elsewhere" };
        let controllers = |line: &str| line.split(':').nth(1).unwrap_or_default().to_owned();
        // Of the hierarchies of cgroup v1, those without a controller need not be joined.
        let lines = inner.lines().filter(|line| !controllers(line).starts_with("name="));
        let mut lines: Vec<String> = lines.map(|line| format!("{}: {}", controllers(line), place(line))).collect();
        lines.sort();
        lines
    });
}

fn an_exec_is_in_the_namespaces_of_its_container(scene: &Scene, kind: Kind) {
    expect_the_same(scene, kind, &[], &[], |process, init| {
        let place = |name| match (process.namespace(name), init.namespace(name)) {
            (Ok(inner), Ok(outer)) if inner == outer => format!("{name}: the container's"),
            other => format!("{name}: {other:?}"),
        };
        let session = |process: &Process| {
            let stat = read(process.file("stat"));
            let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
            format!(
                "leads its process group: {}, session: {}",
                fields[2] == process.pid.to_string(),
                fields[3] == process.pid.to_string()
            )
        };
        let names = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "user", "uts"];
        let root = process.file("root").read_link().expect("a root").display().to_string();
        names.into_iter().map(place).chain([session(process), format!("root {root}")]).collect()
    });
}
