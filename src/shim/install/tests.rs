//! What people do to their files between `install` and `uninstall`.

use std::{fs, path::Path};

use super::{
    class::ClassOptions,
    golden::Case,
    options::{Options, Verb},
    programs::{ENGINE, SHIM, Source},
    record::Record,
    root::Root,
};

const CONFIG: &str = "etc/containerd/config.toml";
const NODE: &str = "etc/containerd-shim-wasmedge/options.toml";
const DROP_IN: &str = "etc/containerd/conf.d/50-wasmedge.toml";
const DAEMON: &str = "etc/docker/daemon.json";
const BINARY: &str = "usr/local/bin/containerd-shim-wasmedge-v1";

/// Changes a file as somebody would, by hand.
fn change(case: &Case, path: &str, from: &str, to: &str) {
    let text = case.text(path);
    assert!(text.contains(from), "{text}");
    fs::write(case.root.path().join(path), text.replacen(from, to, 1)).unwrap();
}

fn forget(case: &Case) {
    fs::remove_file(case.root.path().join(Record::path().strip_prefix("/").unwrap())).unwrap();
}

#[test]
fn what_others_have_changed_since_stays_and_what_is_ours_goes() {
    for (name, path, from, to) in [
        ("containerd-2.1-kubeadm", CONFIG, "version = 3\n", "version = 3\nroot = \"/data\"\n"),
        ("containerd-2.1-imports-lines", CONFIG, "# first", "# the first"),
        ("containerd-2.1-imports-empty", CONFIG, "\" ]", "\", \"/etc/containerd/x*.toml\" ]"),
        ("containerd-1.7-kubeadm", CONFIG, "pause:3.9", "pause:3.10"),
        ("containerd-1.7-inline-plugins", CONFIG, "localhost/pause", "localhost/other"),
        ("microk8s", "var/snap/microk8s/current/args/containerd-template.toml", "oom_score = 0", "oom_score = -1"),
        ("docker-nvidia", DAEMON, "\"args\": []", "\"args\": [\"-v\"]"),
        ("docker-tabs", DAEMON, "journald", "local"),
    ] {
        for forgotten in [false, true] {
            let case = Case::named(name);
            let before = case.text(path);
            case.installed();
            change(&case, path, from, to);
            if forgotten {
                forget(&case);
            }
            case.uninstalled();
            let after = if name.ends_with("imports-empty") {
                before.replacen("[ ]", "[\"/etc/containerd/x*.toml\" ]", 1)
            } else {
                before.replacen(from, to, 1)
            };
            assert_eq!(case.text(path), after, "{name}, record lost: {forgotten}");
            assert!(!case.root.path().join(DROP_IN).exists());
        }
    }
}

#[test]
fn a_part_that_was_changed_by_hand_is_kept_until_it_is_taken_back() {
    for (name, path) in [("containerd-2.1-kubeadm", DROP_IN), ("containerd-1.7-kubeadm", CONFIG)] {
        let case = Case::named(name);
        case.installed();
        change(&case, path, "    SystemdCgroup = true\n", "    SystemdCgroup = true\n    aot.policy = \"off\"\n");
        let changed = case.text(path);
        let again = case.installed();
        assert_eq!(case.text(path), changed, "{name}");
        assert!(again.notes.iter().any(|note| note.contains("changed by hand")), "{again}");
        case.uninstalled();
        assert!(!case.root.path().join(DROP_IN).exists() && !case.text(CONFIG).contains("wasmedge"), "{name}");
    }
}

#[test]
fn another_place_for_the_programs_is_taken_over() {
    for name in ["containerd-2.1-kubeadm", "containerd-1.7-kubeadm", "docker-tabs"] {
        let case = Case::named(name);
        let before = case.tree();
        case.installed();
        let mut options = case.options(Verb::Install);
        options.prefix = "/opt/bin".into();
        case.apply(&case.install_with(&options).unwrap());
        let path = if name.starts_with("docker") {
            DAEMON
        } else if name.contains("2.1") {
            DROP_IN
        } else {
            CONFIG
        };
        assert!(case.text(path).contains("\"/opt/bin/containerd-shim-wasmedge-v1\""), "{name}: {}", case.text(path));
        assert_eq!(case.text(path).matches("/opt/bin").count(), 1, "{name}");
        assert!(case.install_with(&options).unwrap().changes.is_empty(), "{name}");
        case.uninstalled();
        assert!(case.tree() == before, "{name}: {:?}", case.tree().keys());
    }
}

#[test]
fn programs_that_were_there_before_are_replaced_and_stay() {
    let case = Case::named("containerd-2.1-kubeadm");
    let binary = case.root.path().join(BINARY);
    fs::create_dir_all(binary.parent().unwrap()).unwrap();
    fs::write(&binary, "an older one").unwrap();
    case.installed();
    assert_eq!(case.text(BINARY), "containerd-shim-wasmedge-v1");
    case.uninstalled();
    assert!(binary.exists());
    assert!(!binary.with_file_name("wasmedge-engine").exists());
}

#[test]
fn the_programs_stay_while_another_runtime_is_configured_to_use_them() {
    let case = Case::named("docker-and-containerd-named");
    let before = case.tree();
    case.installed();
    let words = ["--root".into(), case.root.path().into(), "--runtime=docker".into()];
    let options = Options::parse(Verb::Uninstall, words).unwrap();
    let root = Root::new(case.root.path()).unwrap();
    let plan = super::uninstall::plan(&options, &root).unwrap();
    case.apply(&plan);
    assert!(!case.text(DAEMON).contains("wasmedge") && case.text(CONFIG).contains("wasmedge"));
    assert!(case.root.path().join(BINARY).exists(), "{plan}");
    case.uninstalled();
    assert!(case.tree() == before);
}

#[test]
fn a_second_configuration_in_the_same_directory_keeps_no_program_back() {
    let case = Case::named("containerd-2.1-kubeadm");
    let path = case.root.path().join("etc/containerd/other.toml");
    fs::write(&path, "version = 3\n").unwrap();
    let before = case.tree();
    let options = |verb: Verb, more: &[&str]| {
        let words = ["--runtime=containerd", "--config=/etc/containerd/other.toml"].iter().chain(more).map(Into::into);
        Options::parse(verb, ["--root".into(), case.root.path().into()].into_iter().chain(words)).unwrap()
    };
    case.apply(&case.install_with(&options(Verb::Install, &["--containerd-version=2.1.9"])).unwrap());
    assert!(case.root.path().join(BINARY).exists());
    let root = Root::new(case.root.path()).unwrap();
    case.apply(&super::uninstall::plan(&options(Verb::Uninstall, &[]), &root).unwrap());
    assert!(case.tree() == before, "{:?}", case.tree().keys());
}

#[test]
fn an_engine_in_the_shim_s_own_file_is_found_by_a_link() {
    let case = Case::named("containerd-2.1-kubeadm");
    let (before, options) = (case.tree(), case.options(Verb::Install));
    let programs = [(SHIM, Source::File(case.program(SHIM))), (ENGINE, Source::Link(SHIM))];
    let root = Root::new(case.root.path()).unwrap();
    let plan = || super::install(&options, &root, &programs).unwrap();
    case.apply(&plan());
    let link = case.root.path().join(BINARY).with_file_name(ENGINE);
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(SHIM));
    assert!(plan().changes.is_empty());
    // What it was unpacked to goes as well.
    let unpacked = case.root.path().join("var/lib/containerd-shim-wasmedge/engine/0123");
    fs::create_dir_all(&unpacked).unwrap();
    fs::write(unpacked.join(ENGINE), "").unwrap();
    case.uninstalled();
    assert!(case.tree() == before, "{:?}", case.tree().keys());
}

#[test]
fn a_damaged_record_is_named() {
    let case = Case::named("containerd-2.1-kubeadm");
    case.installed();
    fs::write(case.root.path().join(Record::path().strip_prefix("/").unwrap()), "{").unwrap();
    let error = case.install_with(&case.options(Verb::Install)).unwrap_err();
    assert!(error.contains(&*Record::path().to_string_lossy()) && error.contains("is damaged"), "{error}");
}

#[test]
fn a_file_that_changed_since_the_plan_is_not_written_over() {
    let case = Case::named("containerd-2.1-kubeadm");
    let plan = case.install_with(&case.options(Verb::Install)).unwrap();
    change(&case, CONFIG, "version = 3", "version = 3 # mine");
    let root = Root::new(case.root.path()).unwrap();
    let applied: anyhow::Result<()> = plan.changes.iter().try_for_each(|change| super::apply::apply(&root, change));
    assert!(applied.unwrap_err().to_string().contains("was changed by somebody else"));
    assert!(case.text(CONFIG).contains("# mine") && !case.text(CONFIG).contains("wasmedge"));
}

#[test]
fn options_of_the_class_are_written_kept_by_later_runs_and_taken_away_when_none_are_given() {
    for (name, path, written) in [
        ("containerd-2.2-version-2", DROP_IN, "    aot = { policy = \"off\" }\n"),
        ("containerd-2.1-kubeadm", NODE, "\naot = { policy = \"off\" }\n"),
        ("containerd-1.7-kubeadm", CONFIG, "    aot = { policy = \"off\" }\n"),
        ("containerd-1.7-inline-plugins", CONFIG, ", aot = { policy = \"off\" } }"),
        ("docker-tabs", "etc/containerd-shim-wasmedge.toml", "\naot = { policy = \"off\" }\n"),
    ] {
        let case = Case::named(name);
        let before = case.tree();
        let mut options = case.options(Verb::Install);
        let mut install = |class: Option<&str>| {
            options.class = class.map(|text| ClassOptions::parse(text).unwrap());
            let plan = case.install_with(&options).unwrap();
            case.apply(&plan);
            plan
        };
        install(Some("[aot]\npolicy = \"off\"\n"));
        assert!(case.text(path).contains(written), "{name}: {}", case.text(path));
        assert!(install(None).changes.is_empty(), "{name}");
        install(Some(""));
        let without = case.text(path);
        // The node's own file is for what a handler cannot carry.
        let decided = path == NODE || without.contains("SystemdCgroup");
        assert!(!without.contains("aot") && decided, "{name}: {without}");
        case.uninstalled();
        assert!(case.tree() == before, "{name}: {:?}", case.tree().keys());
    }
}

#[test]
fn what_containers_have_left_goes_only_when_it_is_asked_for() {
    const LEFT: [&str; 2] = ["var/lib/containerd-shim-wasmedge/aot/sha256", "run/containerd-shim-wasmedge/engine.log"];
    let case = Case::named("containerd-2.1-kubeadm");
    for directory in ["var/lib", "run"] {
        fs::create_dir_all(case.root.path().join(directory)).unwrap();
    }
    let before = case.tree();
    let root = Root::new(case.root.path()).unwrap();
    let purge = |words: &[&str]| {
        let words = words.iter().map(Into::into).chain(["--root".into(), case.root.path().into()]);
        let plan = super::uninstall::plan(&Options::parse(Verb::Uninstall, words).unwrap(), &root).unwrap();
        case.apply(&plan);
        plan
    };
    for at_once in [true, false] {
        case.installed();
        for path in LEFT.map(|path| case.root.path().join(path)) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        if !at_once {
            let plan = purge(&[]);
            assert!(plan.notes.iter().any(|note| note.contains("uninstall --purge")), "{plan}");
            LEFT.iter().for_each(|path| drop(case.text(path)));
        }
        let plan = purge(&["--purge"]);
        assert!(case.tree() == before, "{plan}{:?}", case.tree().keys());
        assert!(purge(&["--purge"]).changes.is_empty());
    }
}

/// Needs root and a file system with labels; where no policy is loaded any text is one.
#[test]
fn a_file_that_is_written_anew_keeps_its_label() {
    const LABEL: &str = "security.selinux";
    let case = Case::named("containerd-2.1-kubeadm");
    let config = case.root.path().join(CONFIG);
    let set = rustix::fs::setxattr(&config, LABEL, b"system_u:object_r:etc_t:s0", rustix::fs::XattrFlags::empty());
    set.unwrap_or_else(|error| panic!("{}: {error}", config.display()));
    let label = || {
        let mut label = Vec::with_capacity(256);
        rustix::fs::getxattr(&config, LABEL, rustix::buffer::spare_capacity(&mut label)).map(|_| label)
    };
    case.installed();
    assert!(case.text(CONFIG).contains("wasmedge"));
    assert_eq!(label().unwrap(), b"system_u:object_r:etc_t:s0");
    case.uninstalled();
    assert_eq!(label().unwrap(), b"system_u:object_r:etc_t:s0");
}
