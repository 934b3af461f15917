//! The node that the pods are on, and what may go wrong with it.

use std::{fs, path::Path, time::Duration};

use e2e::{command, cri::crictl, node::service, process::Process, until};

use crate::pod::Pod;

/// The name of the node of this process.
pub fn name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").expect("the name of the node").trim().to_owned()
}

/// The shim of a pod, of whatever runtime.
#[track_caller]
pub fn shim(pod: &Pod) -> Process {
    let words = ["pods", "--quiet", "--no-trunc", "--state", "ready", "--namespace", pod.space.name(), "--name"];
    let sandbox = crictl(words).arg(&pod.name).run().stdout.trim().to_owned();
    let is_it = |process: &Process| process.name.starts_with("containerd-shim") && process.command.contains(&sandbox);
    let found = Process::all().into_iter().find(is_it);
    found.filter(|_| !sandbox.is_empty()).unwrap_or_else(|| panic!("pod {} has no shim", pod.name))
}

/// Removes what runc leaves of a pod whose shim was killed: the shim's socket, and the state of containers that have no task any more.
pub fn remove_what_runc_leaves() {
    let entries = |folder: &str| fs::read_dir(folder).into_iter().flatten().flatten();
    let listening = fs::read_to_string("/proc/net/unix").expect("the sockets of the node");
    for path in entries("/run/containerd/s").map(|entry| entry.path()) {
        if !listening.lines().any(|line| line.ends_with(&path.display().to_string())) {
            // Its shim may remove it meanwhile.
            let _ = fs::remove_file(&path);
        }
    }
    let root = "/run/containerd/runc/k8s.io";
    for id in entries(root).filter_map(|entry| entry.file_name().into_string().ok()) {
        if !Path::new("/run/containerd/io.containerd.runtime.v2.task/k8s.io").join(&id).exists() {
            command("runc").args(["--root", root, "delete", "--force", &id]).run();
        }
    }
}

/// The services of a node that are no part of the control plane, in the order of their start.
const SERVICES: [&str; 4] = ["containerd", "dockerd", "kube-proxy", "kubelet"];

/// What a reboot does: every process of the node's services and containers is killed at once, and what the kernel and file systems in
/// memory hold of them goes. Files on disk stay. The control plane, which is another machine elsewhere, goes on.
pub fn power_off() {
    for name in SERVICES.iter().rev() {
        service("kill", name);
    }
    until("the end of all containers", || {
        let left: Vec<_> = Process::all().into_iter().filter(is_of_containers).collect();
        left.iter().for_each(Process::kill);
        left.is_empty().then_some(())
    });
    unmount();
    for folder in ["containerd", "containerd-shim-wasmedge", "docker", "netns"] {
        let _ = fs::remove_dir_all(Path::new("/run").join(folder));
    }
    command("ip").args(["link", "delete", "cni0"]).finish();
    for table in ["nat", "filter", "mangle"] {
        for verb in ["--flush", "--delete-chain"] {
            command("iptables").args(["--wait", "--table", table, verb]).run();
        }
    }
    until("the end of the pods' cgroups", || {
        command("find").args(["/sys/fs/cgroup", "-depth", "-path", "*/kubepods*", "-type", "d", "-delete"]).finish();
        let left = command("find").args(["/sys/fs/cgroup", "-path", "*/kubepods*", "-type", "d"]).finish();
        left.stdout.is_empty().then_some(())
    });
}

/// Starts the services of a node that was rebooted.
pub fn power_on() {
    SERVICES.iter().for_each(|name| drop(service("start", name)));
}

fn is_of_containers(process: &Process) -> bool {
    let ours = ["containerd-shim", "wasmedge-", "runc"].iter().any(|name| process.name.starts_with(name));
    let inside = || fs::read_to_string(process.file("cgroup")).is_ok_and(|groups| groups.contains("/kubepods"));
    process.state != 'Z' && (ours || inside())
}

/// Unmounts what was mounted for containers, the last first.
fn unmount() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts of the node");
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let below = |target: &&str| ["/run/", "/var/lib/kubelet/"].iter().any(|folder| target.starts_with(folder));
    let targets: Vec<_> = targets.filter(below).collect();
    for target in targets.iter().rev() {
        // One that went with another, as propagated ones do, is no failure.
        command("umount").args(["--lazy", target]).finish();
    }
}

/// Nobody may be sent to a node as long as this lives.
pub struct Cordon(String);

impl Cordon {
    /// `kubectl cordon NODE`.
    pub fn new(node: &str) -> Self {
        command("kubectl").args(["cordon", node]).run();
        Self(node.to_owned())
    }
}

impl Drop for Cordon {
    fn drop(&mut self) {
        command("kubectl").args(["uncordon", &self.0]).finish();
    }
}

/// `kubectl drain` of the pods with a label `app`, with so much time. It leaves the node cordoned, as far as it came.
pub fn drain(node: &str, app: &str, limit: Duration) -> e2e::Finished {
    let words = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--disable-eviction=false"];
    let (pods, limit) = (format!("--pod-selector=app={app}"), format!("--timeout={}s", limit.as_secs()));
    command("kubectl").args(words).args([pods, limit]).deadline(Duration::from_secs(300)).finish()
}
