//! OCI hooks: which run, when, and what they are told.

use std::fs;

use e2e::{Kind, Scene, command::read, expect_as_under_runc, for_kinds, process::Process, shim::Shim, until};
use serde_json::{Value, json};

for_kinds! {
    the_hooks_of_all_six_kinds_run_in_the_order_of_runc;
    hooks_are_told_the_container_and_its_state;
    hooks_get_their_own_words_and_environment;
    a_hook_before_the_start_that_fails_stops_the_container;
    a_hook_in_the_container_that_fails_stops_the_start;
    a_hook_after_the_start_that_fails_ends_the_container;
    a_hook_that_takes_too_long_is_ended;
}

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A shim whose bundle has a hook of each kind: each adds a line to a log, its name and its input. `/hooks` in the
/// container is the same directory as outside, as `startContainer` runs there.
fn hooked(scene: &Scene, kind: Kind, change: impl FnOnce(&mut Value)) -> Shim {
    let name = scene.name();
    let folder = scene.directory().join(format!("{name}-hooks"));
    fs::create_dir(&folder).unwrap();
    let bundle = scene.bundle(kind, &kind.sleeper());
    fs::create_dir(bundle.path("rootfs/hooks")).unwrap();
    bundle.configure(|spec| {
        for hook in KINDS {
            let place = if hook == "startContainer" { "/hooks".into() } else { folder.display().to_string() };
            let script = format!("state=$(tr -d '\\n\\t'); echo \"{hook} $state\" >>{place}/log");
            spec["hooks"][hook] =
                json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
        }
        let options = json!(["bind", "rw"]);
        let mount = json!({ "destination": "/hooks", "type": "bind", "source": folder, "options": options });
        spec["mounts"].as_array_mut().unwrap().push(mount);
        change(spec);
    });
    fs::write(bundle.path("folder"), folder.display().to_string()).unwrap();
    bundle.start()
}

/// The lines of the log: hook and state.
fn log(shim: &Shim) -> Vec<(String, Value)> {
    let folder = read(shim.bundle().path("folder"));
    let Ok(text) = fs::read_to_string(format!("{folder}/log")) else { return Vec::new() };
    let line = |line: &str| {
        let (hook, state) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?} in the log"));
        (hook.to_owned(), serde_json::from_str(state).unwrap_or_else(|error| panic!("{error} in {line:?}")))
    };
    text.lines().map(line).collect()
}

/// The log so far, a line each.
fn plain(shim: &Shim) -> Vec<String> {
    log(shim).iter().map(|(hook, state)| format!("{hook}: {}", state["status"])).collect()
}

/// Starts the task and waits for its hooks, which may go on when the call is over.
fn start(shim: &Shim) {
    shim.start().unwrap();
    until("five hooks", || (log(shim).len() == 5).then_some(()));
}

fn the_hooks_of_all_six_kinds_run_in_the_order_of_runc(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let shim = hooked(scene, kind, |_| ());
        // runc runs `poststart` when it has created the container, others when it has started.
        let others = |from: usize| plain(&shim).into_iter().filter(|line| !line.starts_with("poststart")).skip(from);
        shim.create().unwrap();
        let mut lines: Vec<String> = others(0).collect();
        lines.push("created".into());
        start(&shim);
        assert_eq!(plain(&shim).iter().filter(|line| line.starts_with("poststart")).count(), 1, "{:?}", plain(&shim));
        lines.extend(others(3));
        lines.push("started".into());
        super::exec_api::end(&shim);
        lines.extend(others(4));
        assert_eq!(lines.len(), 7, "{lines:#?}");
        lines
    });
}

fn hooks_are_told_the_container_and_its_state(scene: &Scene, kind: Kind) {
    expect_as_under_runc(kind, |kind| {
        let shim = hooked(scene, kind, |spec| spec["annotations"] = json!({ "some.key": "some value" }));
        let pid = shim.create().unwrap().pid;
        start(&shim);
        super::exec_api::end(&shim);
        let bundle = shim.bundle().path("");
        let bundle = bundle.to_str().unwrap().trim_end_matches('/');
        let told = |(hook, state): (String, Value)| {
            // The spec asks for a pid once the container is created; before that runc tells 1 to a hook inside.
            let pid = match &state["pid"] {
                _ if hook == "createContainer" => "any".into(),
                told if *told == pid => "the task's".into(),
                told => told.to_string(),
            };
            let place = if state["bundle"] == bundle { "the bundle's" } else { "another" };
            let id = if state["id"] == shim.id() { "the task's" } else { "another" };
            let (version, annotations) = (&state["ociVersion"].is_string(), &state["annotations"]["some.key"]);
            format!("{hook}: pid {pid}, bundle {place}, id {id}, version {version}, annotation {annotations}")
        };
        let mut lines: Vec<_> = log(&shim).into_iter().map(told).collect();
        lines.sort();
        lines
    });
}

fn hooks_get_their_own_words_and_environment(scene: &Scene, kind: Kind) {
    let file = scene.directory().join("words");
    let script = format!("echo \"$0 $1 $VARIABLE $(env | grep -c HOME)\" >{}", file.display());
    let shim = hooked(scene, kind, |spec| {
        let env = ["PATH=/bin:/usr/bin", "VARIABLE=two words"];
        spec["hooks"]["createRuntime"] =
            json!([{ "path": "/bin/sh", "args": ["name", "-c", script, "zero", "one"], "env": env }]);
    });
    shim.create().unwrap();
    assert_eq!(read(file), "zero one two words 0\n");
    shim.delete().unwrap();
}

/// A hook that fails, and what becomes of the container.
fn expect_as_with_a_failing_hook(scene: &Scene, kind: Kind, hook: &str) {
    expect_as_under_runc(kind, |kind| {
        let shim = hooked(scene, kind, |spec| {
            spec["hooks"][hook] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
        });
        let created = shim.create().is_ok();
        let started = created && shim.start().is_ok();
        let mut lines = vec![format!("created: {created}, started: {started}")];
        if started {
            shim.kill(9).unwrap();
        }
        if created {
            lines.push(format!("ended with {}", if started { shim.wait().unwrap() } else { 0 }));
            lines.push(format!("deleted: {}", shim.delete().is_ok()));
        }
        // What else runs at the start may not have come to its end.
        lines.extend(plain(&shim).into_iter().filter(|line| !line.starts_with("startContainer")));
        lines
    });
}

fn a_hook_before_the_start_that_fails_stops_the_container(scene: &Scene, kind: Kind) {
    for hook in ["prestart", "createRuntime", "createContainer"] {
        expect_as_with_a_failing_hook(scene, kind, hook);
    }
}

fn a_hook_in_the_container_that_fails_stops_the_start(scene: &Scene, kind: Kind) {
    let shim = hooked(scene, kind, |spec| {
        spec["hooks"]["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
    });
    shim.create().unwrap();
    // Whether the start fails or what was started ends at once, the program does not run.
    if shim.start().is_ok() {
        assert_ne!(shim.wait().unwrap(), 0);
    }
    shim.delete().unwrap();
}

fn a_hook_after_the_start_that_fails_ends_the_container(scene: &Scene, kind: Kind) {
    let shim = hooked(scene, kind, |spec| {
        spec["hooks"]["poststart"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", "exit 3"] }]);
    });
    // runc runs it when it has created the container, others when it has started.
    if shim.create().is_ok() {
        shim.start().expect_err("a start with a hook that fails");
        shim.delete().unwrap();
    }
    let running = Process::all().into_iter().filter(|process| process.command == kind.sleeper().join(" "));
    assert_eq!(running.collect::<Vec<_>>(), []);
}

fn a_hook_that_takes_too_long_is_ended(scene: &Scene, kind: Kind) {
    let shim = hooked(scene, kind, |spec| {
        spec["hooks"]["createRuntime"] = json!([{ "path": "/bin/sleep", "args": ["sleep", "300"], "timeout": 1 }]);
    });
    let start = std::time::Instant::now();
    shim.create().unwrap_err();
    assert!(start.elapsed() < e2e::patient(std::time::Duration::from_secs(10)), "it took {:?}", start.elapsed());
}
