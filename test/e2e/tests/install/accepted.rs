//! The node's containerd reads what `install` leaves of each configuration, finds the handler, and nothing else that is
//! new.

use std::{collections::BTreeMap, fs};

use e2e::Scene;

use super::roots::{self, Root, SHIM, differences};

/// How many of the configurations each version of containerd reads, at least.
const LEAST: usize = 25;

/// Where the handler comes from elsewhere: the distribution adds it, or nothing has run yet.
const BY_OTHERS: [&str; 5] = [
    "k3s-without-drop-ins-other-prefix",
    "k3s-not-started",
    "k0s-1.35",
    "k0s-not-started",
    "microk8s-without-template",
];

#[test]
fn containerd_reads_every_configuration_and_shows_the_handler() {
    let scene = Scene::new();
    let version = roots::containerd();
    // Those that import bring a containerd that merges.
    let others: &[&str] = if version.0 > 1 { &["docker"] } else { &["docker", "k3s", "rke2", "k0s"] };
    let is_other = |name: &String| name == "nothing" || others.iter().any(|other| name.starts_with(other));
    let all = roots::names().into_iter().filter(|name| !is_other(name) && !BY_OTHERS.contains(&&**name));
    let read: Vec<String> = all.filter(|name| reads(name, &scene)).collect();
    println!("containerd {}.{} reads {} configurations: {}", version.0, version.1, read.len(), read.join(" "));
    assert!(read.len() >= LEAST, "only {}: {read:?}", read.len());
}

/// `false` if this containerd does not read the configuration as it was before.
fn reads(name: &str, scene: &Scene) -> bool {
    let root = Root::new(name, scene.directory());
    let (tree, before) = (root.tree(), root.dump());
    if before.code != 0 {
        return false;
    }
    // A dump says nothing of it, but containerd does not start.
    if name == "containerd-2.1-import-is-missing" {
        drop(root.install(SHIM).finish().fails().says_in_one_line(&["/etc/containerd/gone.toml", "is missing"]));
        return false;
    }
    let installed = root.install(SHIM).finish();
    if name == "containerd-2.2-place-is-taken" && roots::containerd().0 > 1 {
        drop(installed.fails().says_in_one_line(&["50-wasmedge.toml", "was not made by install"]));
        return true;
    }
    let installed = installed.exits(0);
    let after = root.dump().exits(0);
    let handler = |line: &str| line.contains("runtimes.wasmedge]") || line.contains("runtimes.'wasmedge']");
    // containerd 1.7 shows nothing of a plugin that is turned off.
    let off = before.stdout.contains("disabled_plugins = [\"cri\"]");
    assert!(off || after.stdout.lines().any(handler), "{name}: no handler\n{installed}\n{after}");
    let lost = lost(&before.stdout, &after.stdout);
    assert!(lost.is_empty(), "{name}: lost: {lost:?}\n{after}");
    root.install(SHIM).run().says_on_stdout("nothing to do");
    root.uninstall(SHIM).run();
    assert_eq!(differences(&tree, &root.tree()), Vec::<std::path::PathBuf>::new(), "{name}");
    // containerd 1.7 lists the files that it has read, in any order.
    let settings =
        |dump: &str| dump.lines().filter(|line| !line.starts_with("imports =")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(settings(&root.dump().stdout), settings(&before.stdout), "{name}");
    fs::remove_dir_all(&root.path).expect("removing a root");
    true
}

/// The settings of `before` that are not in `after`. Lists of files differ, and what is nothing may be left out.
fn lost(before: &str, after: &str) -> Vec<String> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    after.lines().for_each(|line| *left.entry(line.trim()).or_default() += 1);
    // containerd 1.7 takes no sandbox mode for this one.
    let defaults = ["= \"\"", "= ''", "= 0", "= false", "= []", "sandbox_mode = \"podsandbox\""];
    let nothing = |line: &str| defaults.iter().any(|end| line.ends_with(end));
    let lines = before.lines().map(str::trim).filter(|line| !line.starts_with("imports =") && !nothing(line));
    let gone = lines.filter(|line| match left.get_mut(line) {
        Some(count @ 1..) => {
            *count -= 1;
            false
        }
        _ => true,
    });
    gone.map(ToOwned::to_owned).collect()
}
