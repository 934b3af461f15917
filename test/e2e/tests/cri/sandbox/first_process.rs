//! The first process of a pod whose containers share a pid namespace.

use e2e::{Kind, Scene, cri::crictl, engine, process::Process, until};
use serde_json::json;

use super::{HANDLER, pod, run};
use crate::cri::no_shim_is_left;

/// The process.
fn first() -> Process {
    let found: Vec<_> = Process::all().into_iter().filter(|one| one.command.starts_with("wasmedge-pod")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[test]
fn it_may_do_nothing_and_holds_nothing() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let first = first();
    for sets in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(first.status(sets), "0000000000000000", "{sets}");
    }
    assert_eq!((&*first.status("NoNewPrivs"), &*first.status("Seccomp")), ("1", "1"));
    assert!(first.status("Uid").starts_with("65535") && first.status("Gid").starts_with("65535"));
    assert_eq!(first.status("Groups"), "");
    let open = first.descriptors();
    assert!(open.len() == 1 && open[0].1.starts_with("pipe:"), "{open:?}");
    let root: Vec<_> = std::fs::read_dir(first.file("root")).unwrap().collect();
    assert!(root.is_empty(), "{root:?}");
    let mounts = std::fs::read_to_string(first.file("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    for kind in ["net", "ipc", "uts", "pid", "mnt"] {
        assert_ne!(first.namespace(kind).unwrap(), engine::shims()[0].namespace(kind).unwrap(), "{kind}");
    }
    let cgroup = first.cgroup_file("memory.usage_in_bytes").or_else(|| first.cgroup_file("memory.current"));
    assert!(cgroup.is_some());
    let groups = e2e::command("cat").arg(first.file("cgroup").display().to_string()).run().stdout;
    assert!(groups.contains(&format!("/k8s.io/{}", pod.id)), "{groups}");
    // What it lives in is a container's of the pod, too.
    let linux = run(&pod, Kind::Linux, &json!({}), &["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; ls /proc/1/root"]);
    linux.wait();
    assert!(linux.logs().stdout.contains("wasmedge-pod"), "{}", linux.logs());
}

#[test]
fn it_reaps_what_is_left_to_it() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let script = "(sh -c 'sleep 0.2' &) ; sleep 1; ps -o stat,comm | grep -c '^Z' ; true";
    let linux = run(&pod, Kind::Linux, &json!({}), &["sh", "-c", script]);
    assert_eq!(linux.wait(), 0);
    linux.logs().prints("0\n");
}

#[test]
fn containers_see_each_other_and_end_with_it() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let wasm = run(&pod, Kind::Wasm, &json!({}), &["/sleep.wasm", "600"]);
    wasm.says("sleeping");
    let linux = run(&pod, Kind::Linux, &json!({}), &["sh", "-c", "ls /proc | grep -c '^[0-9]*$'; exec sleep 600"]);
    until("the number of processes", || {
        let said = linux.logs().stdout;
        said.trim().parse::<usize>().ok().filter(|count| *count >= 3)
    });
    first().kill();
    assert_eq!((wasm.wait(), linux.wait()), (137, 137));
    until("the pod's end", || {
        let state = crictl(["inspectp", "-o", "go-template", "--template", "{{.status.state}}", &pod.id]).run().stdout;
        state.contains("NOTREADY").then_some(())
    });
    pod.stop();
    pod.remove();
    no_shim_is_left();
}

#[test]
fn a_signal_from_the_pod_does_not_end_it() {
    let scene = Scene::new();
    let pod = pod(&scene, HANDLER, &json!({}));
    let linux = run(&pod, Kind::Linux, &json!({}), &["sh", "-c", "kill -9 1; kill -TERM 1; sleep 0.2; echo alive"]);
    linux.says("alive");
    assert!(first().lives());
}
