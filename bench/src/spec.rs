//! The OCI spec that containerd's own client makes by default (containerd 2, `pkg/oci`, `populateDefaultUnixSpec` and
//! `WithDefaultUnixDevices`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::containerd::NAMESPACE;

const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What differs between containers.
#[derive(Clone, Debug)]
pub struct Process<'a> {
    pub args: &'a [String],
    pub env: &'a [String],
    pub working_dir: &'a str,
    pub annotations: &'a BTreeMap<String, String>,
    /// In the node's network, not one of its own.
    pub host_network: bool,
    /// With a seccomp profile, which the spec that is made by default lacks.
    pub seccomp: bool,
}

/// The spec of the container `id`: new pid, ipc, uts, mount and network namespaces, its own cgroup below our namespace's.
pub fn spec(id: &str, process: &Process) -> Value {
    let kinds = ["pid", "ipc", "uts", "mount", "network"].into_iter();
    let kinds = kinds.filter(|kind| !(process.host_network && *kind == "network"));
    let namespaces: Vec<_> = kinds.map(|kind| json!({ "type": kind })).collect();
    let mut spec = json!({
        "ociVersion": "1.2.1",
        "process": program(process.args, process.env, process.working_dir),
        "root": { "path": "rootfs" },
        "mounts": mounts(),
        "annotations": process.annotations,
        "linux": {
            "resources": { "devices": devices() },
            "cgroupsPath": format!("/{NAMESPACE}/{id}"),
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    });
    if process.seccomp {
        spec["linux"]["seccomp"] = seccomp();
    }
    spec
}

/// What the profiles of Docker and containerd refuse first of all. The kernel remembers what is allowed whatever its arguments
/// (seccomp(2), since Linux 5.11), so how long a profile is matters little to what is measured.
fn seccomp() -> Value {
    let refused = [
        "add_key",
        "bpf",
        "delete_module",
        "finit_module",
        "init_module",
        "kexec_load",
        "keyctl",
        "mount",
        "move_mount",
        "open_by_handle_at",
        "perf_event_open",
        "pivot_root",
        "ptrace",
        "reboot",
        "request_key",
        "setns",
        "swapoff",
        "swapon",
        "umount2",
        "unshare",
        "userfaultfd",
    ];
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": refused, "action": "SCMP_ACT_ERRNO" }],
    })
}

/// A program to run in a container, as its first or as another.
pub fn program(args: &[String], env: &[String], working_dir: &str) -> Value {
    json!({
        "user": { "uid": 0, "gid": 0, "additionalGids": [0] },
        "args": args,
        "env": env,
        "cwd": working_dir,
        "capabilities": { "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096 }],
        "noNewPrivileges": true,
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &str| {
        let options: Vec<_> = options.split(' ').collect();
        json!({ "destination": destination, "type": kind, "source": source, "options": options })
    };
    json!([
        mount("/proc", "proc", "proc", "nosuid noexec nodev"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
        mount("/run", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
    ])
}

/// null, random, full, tty, zero, urandom, console, every pts, ptmx; nothing else.
fn devices() -> Vec<Value> {
    let known = [(1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9), (5, 1)];
    let allow = |(major, minor): (u32, u32)| json!({ "allow": true, "type": "c", "major": major, "minor": minor, "access": "rwm" });
    let mut devices = vec![json!({ "allow": false, "access": "rwm" })];
    devices.extend(known.map(allow));
    devices.push(json!({ "allow": true, "type": "c", "major": 136, "access": "rwm" }));
    devices.push(allow((5, 2)));
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_shares_the_network_and_nothing_else() {
        let annotations = BTreeMap::new();
        let namespaces = |host_network| {
            let process = Process {
                args: &[],
                env: &[],
                working_dir: "/",
                annotations: &annotations,
                host_network,
                seccomp: false,
            };
            let kinds = spec("a", &process)["linux"]["namespaces"].as_array().cloned().unwrap_or_default();
            kinds.iter().filter_map(|kind| kind["type"].as_str().map(String::from)).collect::<Vec<_>>()
        };
        assert_eq!(namespaces(false), ["pid", "ipc", "uts", "mount", "network"]);
        assert_eq!(namespaces(true), ["pid", "ipc", "uts", "mount"]);
    }
}
