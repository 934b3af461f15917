//! What the kubelet of a node does by itself: pods from files, logs put aside.

use std::{fs, path::PathBuf, time::Duration};

use e2e::{Kind, command, cri::crictl, within};
use kubernetes_tests::{Namespace, for_kinds, node, pod, pod::is_ready};
use serde_json::{Value, json};

use crate::support::server;

for_kinds! {
    a_static_pod_lives_as_long_as_its_file;
    logs_that_grow_are_put_aside;
}

const MINUTE: Duration = Duration::from_secs(60);

/// The file of a static pod. Dropping it removes it.
struct Manifest(PathBuf);

impl Manifest {
    fn write(name: &str, object: &Value) -> Self {
        let folder = PathBuf::from("/etc/kubernetes/manifests");
        let (new, path) = (folder.join(format!(".{name}")), folder.join(format!("{name}.json")));
        // The kubelet reads a file as soon as it has a name without a dot.
        fs::write(&new, object.to_string()).expect("writing the manifest");
        fs::rename(&new, &path).expect("renaming the manifest");
        Self(path)
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn a_static_pod_lives_as_long_as_its_file(space: &Namespace, kind: Kind) {
    let mut object = pod::object("static", kind, &server(kind));
    object["metadata"]["namespace"] = json!(space.name());
    object["spec"]["restartPolicy"] = json!("Always");
    let manifest = Manifest::write(space.name(), &object);
    let name = format!("static-{}", node::name());
    space.wait(MINUTE, "the pod in the API", || space.get("v1", "Pod", &name));
    let pod = space.pod_named(&name).ready();
    let answers = || pod::get(&pod.address(), 8080, "/").stdout.contains("hello").then_some(());
    space.wait(MINUTE, "an answer", answers);

    pod.init().kill();
    space.wait(MINUTE, "a restart", || (pod.restarts() == 1 && is_ready(&pod.get())).then_some(()));
    assert_eq!(pod.last_exit_code(), Some(137));
    space.wait(MINUTE, "an answer", answers);

    // The API has an image of it only.
    let (uid, init) = (pod.get()["metadata"]["uid"].clone(), pod.init());
    space.delete("v1", "Pod", &name);
    space.wait(MINUTE, "another image of the pod", || {
        (space.get("v1", "Pod", &name).is_some_and(|other| other["metadata"]["uid"] != uid)).then_some(())
    });
    assert!(init.lives(), "the program has ended");

    drop(manifest);
    space.wait(MINUTE, "the pod to go", || space.get("v1", "Pod", &name).is_none().then_some(()));
    let sandboxes = || crictl(["pods", "--quiet", "--namespace", space.name()]).run().stdout;
    assert!(within(MINUTE, || sandboxes().is_empty().then_some(())).is_some(), "{}", sandboxes());
}

/// The files of a container's log, the oldest first.
fn files(space: &Namespace, pod: &str, uid: &str) -> Vec<PathBuf> {
    let folder = format!("/var/log/pods/{}_{pod}_{uid}/main", space.name());
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    // `0.log` is written to, `0.log.DATE` was put aside, `0.log.DATE.gz` earlier.
    files.sort_by_key(|path| (path.extension().is_some_and(|end| end == "log"), path.clone()));
    files
}

/// The numbers in lines of a log file, whose last word they are.
fn numbers(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

fn follow_on_each_other(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

fn logs_that_grow_are_put_aside(space: &Namespace, kind: Kind) {
    let linux = "n=0; while :; do n=$((n + 1)); echo $n; [ $((n % 1000)) != 0 ] || sleep 0.2; done";
    let pod = space.pod(kind, &kind.either(vec!["/ticks.wasm", "0.0001"], vec!["sh", "-c", linux])).ready();
    let mut follower = space.kubectl(["logs", "--follow", &pod.name]).spawn();
    let uid = pod.get()["metadata"]["uid"].as_str().expect("a uid").to_owned();
    space.wait(3 * MINUTE, "two files put aside, one of them compressed", || {
        let files = files(space, &pod.name, &uid);
        let compressed = files.iter().any(|path| path.extension().is_some_and(|end| end == "gz"));
        (compressed && files.len() >= 3).then_some(())
    });
    let tail = space.kubectl(["logs", "--tail=100", &pod.name]).run().stdout;
    assert!(numbers(&tail).len() == 100 && follow_on_each_other(&numbers(&tail)), "{tail}");

    let init = pod.init();
    let _stopped = init.stop();
    let mut all = Vec::new();
    let whole = within(MINUTE / 2, || {
        let names = files(space, &pod.name, &uid).into_iter().map(|path| path.display().to_string());
        all = numbers(&command("zcat").arg("-f").args(names).finish().stdout);
        (all.first() == Some(&1) && follow_on_each_other(&all)).then_some(())
    });
    let gap = all.windows(2).find(|pair| pair[0] + 1 != pair[1]);
    assert!(whole.is_some(), "{} lines, from {:?}, {gap:?} among them", all.len(), all.first());
    let last = all.last().expect("a line").to_string();
    let followed = within(MINUTE / 2, || follower.stdout().trim_end().ends_with(&format!("\n{last}")).then_some(()));
    let followed_text = follower.end().stdout;
    assert!(followed.is_some(), "{last} is not what a follower was told last");
    assert!(follow_on_each_other(&numbers(&followed_text)), "a follower was not told all");
}
