//! What is configured: the handler, the program that it names, and what is known of that containerd.

use std::path::{Path, PathBuf};

use toml_edit::Item;

use super::Finding;
use crate::install::{
    configuration::{Configuration, File, HANDLER},
    handler::RUNC,
    kind::Kind,
    programs::{SHIM, search_path},
    restart,
    root::Root,
    stale,
    target::Target,
    version::{self, DROP_INS, MERGES, OLDEST, Version},
};

/// The first containerd that pulls images by its transfer service, which does not unpack those for `wasi/wasm`.
const TRANSFERS: Version = Version { major: 2, minor: 1 };
/// What 500 containers need of open files.
const FILES: u64 = 16_384;
const INSTALL: &str = "containerd-shim-wasmedge-v1 install";

/// What is found, and the shim that would be started.
pub fn findings(target: &Target, root: &Root) -> (Vec<Finding>, Option<PathBuf>) {
    let mut found = vec![running(target)];
    let (handler, shim) = match target.kind {
        Kind::Docker => docker(target, root),
        _ => containerd(target, root),
    };
    found.extend(handler);
    found.extend(files(target));
    (found, shim)
}

fn running(target: &Target) -> Finding {
    match target.process {
        Some(_) => Finding::ok(format!("{} runs", target.title())),
        None => Finding::warning(format!("{} does not run", target.title()), format!("start {}", target.kind.name())),
    }
}

fn files(target: &Target) -> Option<Finding> {
    let most = target.process.as_ref()?.most_files().filter(|most| *most < FILES)?;
    let name = target.kind.name();
    Some(Finding::warning(
        format!("{name} may have {most} open files: 500 containers need {FILES}"),
        format!("LimitNOFILE=1048576 in the unit of {name}"),
    ))
}

fn containerd(target: &Target, root: &Root) -> (Vec<Finding>, Option<PathBuf>) {
    let mut found = Vec::new();
    let version = target.program.as_ref().and_then(|program| version::ask(root, program).ok());
    let configuration = match Configuration::read(root, &target.config) {
        Ok(configuration) => configuration,
        Err(error) => return (vec![Finding::fault(format!("{error:#}"), "correct the file")], None),
    };
    found.extend(version.into_iter().flat_map(|version| faults(version, configuration.as_ref())));
    let Some(configuration) = configuration else {
        found.push(Finding::fault(format!("{} is missing, and the handler with it", target.config.display()), INSTALL));
        return (found, None);
    };
    if configuration.disables_cri() && target.kind == Kind::Containerd {
        found.push(Finding::warning(
            format!("{} disables the plugin that Kubernetes needs", target.config.display()),
            "take it out of disabled_plugins, if this is a node of Kubernetes",
        ));
    }
    let Some((file, handler)) = configuration.handler(HANDLER) else {
        found.push(Finding::fault(format!("the handler {HANDLER} is not in {}", target.config.display()), INSTALL));
        return (found, None);
    };
    found.push(Finding::ok(format!("the handler {HANDLER} is in {}", file.path.display())));
    found.extend(annotations(handler, file.path.as_path()));
    found.extend(version.and_then(|version| unasked(version, handler)));
    found.extend(unread(target, root));
    let runtime = handler.get("runtime_path").or_else(|| handler.get("runtime_type")).and_then(Item::as_str);
    let (finding, shim) = program(runtime.unwrap_or_default(), target, root);
    found.push(finding);
    (found, shim)
}

/// Known faults of this version.
fn faults(version: Version, configuration: Option<&Configuration>) -> Vec<Finding> {
    if version < OLDEST {
        let found = format!("containerd {version} is too old");
        return vec![Finding::fault(found, format!("use containerd {OLDEST} or later"))];
    }
    let mut found = Vec::new();
    if version >= TRANSFERS && !configuration.is_some_and(pulls_by_itself) {
        found.push(Finding::warning(
            format!("containerd {version} does not unpack images for wasi/wasm that Kubernetes pulls"),
            "use_local_image_pull = true in [plugins.'io.containerd.cri.v1.images'], or images for linux/*",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(format!("containerd {version}")));
    }
    found
}

/// What a containerd of this version does not let pods have by this handler.
fn unasked(version: Version, handler: &Item) -> Option<Finding> {
    let asked = handler.get("runtime_type").and_then(Item::as_str) == Some(RUNC);
    ((MERGES..DROP_INS).contains(&version) && !asked).then(|| {
        Finding::warning(
            format!(
                "containerd {version} asks only runc what a runtime is able to do: no hostUsers: false by this handler"
            ),
            format!("{INSTALL}; or runtime_type = \"{RUNC}\" with runtime_path; or containerd 2.2 or later"),
        )
    })
}

/// Whether images are pulled without the transfer service.
fn pulls_by_itself(configuration: &Configuration) -> bool {
    let told = |file: &File| {
        let images = file.document.get("plugins")?.get("io.containerd.cri.v1.images")?;
        images.get("use_local_image_pull")?.as_bool()
    };
    configuration.files().iter().rev().find_map(told).unwrap_or_default()
}

fn annotations(handler: &Item, file: &Path) -> Option<Finding> {
    let patterns = handler.get("pod_annotations").and_then(Item::as_array).into_iter().flatten();
    let passed = patterns.filter_map(|pattern| pattern.as_str()).any(|pattern| pattern.starts_with("io.wasmedge."));
    (!passed).then(|| {
        Finding::warning(
            format!("annotations io.wasmedge.* of pods do not reach the runtime: {}", file.display()),
            "pod_annotations = [\"io.wasmedge.*\"] in the section of the handler",
        )
    })
}

/// Whether something was changed after it was read.
fn unread(target: &Target, root: &Root) -> Option<Finding> {
    let files = stale::files(target, root);
    let late = stale::changed_since_start(target, root, &files)?;
    Some(Finding::fault(
        format!("{} was changed after {} was started", late.display(), target.kind.name()),
        restart::advice(target),
    ))
}

fn docker(target: &Target, root: &Root) -> (Vec<Finding>, Option<PathBuf>) {
    let config = target.config.display();
    let text = root.text(&target.config).ok().flatten().unwrap_or_default();
    let daemon: serde_json::Value = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(daemon) => daemon,
        Err(_) if text.is_empty() => serde_json::Value::Null,
        Err(error) => {
            return (vec![Finding::fault(format!("{config} is not JSON: {error}"), "correct the file")], None);
        }
    };
    let Some(runtime) = daemon["runtimes"][HANDLER]["runtimeType"].as_str() else {
        let found = Finding::warning(
            format!("the runtime {HANDLER} is not in {config}: only --runtime={} works", crate::RUNTIME),
            INSTALL,
        );
        let (finding, shim) = program(crate::RUNTIME, target, root);
        return (vec![found, finding], shim);
    };
    let mut found = vec![Finding::ok(format!("the runtime {HANDLER} is in {config}"))];
    found.extend(unread(target, root));
    let (finding, shim) = program(runtime, target, root);
    found.push(finding);
    (found, shim)
}

/// The program that a runtime's type names.
fn program(runtime: &str, target: &Target, root: &Root) -> (Finding, Option<PathBuf>) {
    if runtime.starts_with('/') {
        let path = PathBuf::from(runtime);
        return match root.has_program(&path) {
            true => (Finding::ok(format!("the program is {runtime}")), Some(path)),
            false => (Finding::fault(format!("{runtime}, which the handler names, is no program"), INSTALL), None),
        };
    }
    if runtime != crate::RUNTIME {
        let found = format!("the handler {HANDLER} is of the type {runtime}, not {}", crate::RUNTIME);
        return (Finding::fault(found, INSTALL), None);
    }
    let directories = search_path(target.process.as_ref());
    match directories.iter().map(|directory| directory.join(SHIM)).find(|path| root.has_program(path)) {
        Some(path) => (Finding::ok(format!("the program is {}", path.display())), Some(path)),
        None => {
            let list = directories.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(":");
            let found = format!("{SHIM} is not in the PATH of {}, {list}", target.kind.name());
            (Finding::fault(found, format!("{INSTALL} --prefix with one of these")), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::install::check::Level;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn the_faults_of_each_containerd_are_known() {
        let found = |text| {
            let found = faults(version(text), None);
            found.into_iter().map(|finding| (finding.level, finding.found)).collect::<Vec<_>>()
        };
        assert!(found("1.6")[0].1.contains("too old") && found("1.6")[0].0 == Level::Fault);
        assert_eq!(found("1.7"), [(Level::Ok, "containerd 1.7".into())]);
        assert!(found("2.1")[0].1.contains("wasi/wasm"));
        assert_eq!([found("2.0").len(), found("2.1").len(), found("2.3").len()], [1; 3]);
    }

    #[test]
    fn a_handler_that_is_not_asked_what_it_is_able_to_do_is_found() {
        let of = |text: &str, runtime: &str| {
            let document: toml_edit::DocumentMut = format!("runtime_type = \"{runtime}\"\n").parse().unwrap();
            unasked(version(text), document.as_item())
        };
        assert!(of("2.1", crate::RUNTIME).unwrap().found.contains("hostUsers: false"));
        for (text, runtime) in [("2.1", RUNC), ("2.0", RUNC), ("2.2", crate::RUNTIME), ("1.7", crate::RUNTIME)] {
            assert_eq!(of(text, runtime), None, "{text}");
        }
    }

    #[test]
    fn a_node_that_pulls_by_itself_has_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        let text = "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n";
        fs::write(dir.path().join("config.toml"), text).unwrap();
        let configuration = Configuration::read(&root, Path::new("/config.toml")).unwrap();
        assert_eq!(faults(version("2.3"), configuration.as_ref()), [Finding::ok("containerd 2.3")]);
    }

    #[test]
    fn the_program_of_a_handler_is_found_or_its_absence_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path()).unwrap();
        let target = Target::installed(Kind::Containerd, &root);
        let of = |runtime| program(runtime, &target, &root);
        assert!(of("/opt/shim").0.found.contains("/opt/shim, which the handler names, is no program"));
        assert!(of(crate::RUNTIME).0.found.contains("is not in the PATH of containerd, /usr/local/sbin:"));
        assert!(of("io.containerd.runc.v2").0.found.contains("is of the type io.containerd.runc.v2"));
        let path = dir.path().join("usr/bin").join(SHIM);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of(crate::RUNTIME).1.unwrap(), Path::new("/usr/bin").join(SHIM));
    }
}
