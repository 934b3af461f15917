//! What is refused in a spec before anything is made of it, for modules and Linux programs alike, as runc refuses it.
//!
//! It comes first because later steps take things out of the spec that are then set by hand, out of the sight of
//! libcontainer's own checks.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use libcontainer::validator::Validator;
use oci_spec::runtime::{LinuxNamespaceType, LinuxResources, Process, Spec};

use super::cgroup::{self, Place};

/// The id that setresuid(2) and chown(2) take for "leave it as it is", which would be root.
const NO_ID: u32 = u32::MAX;

/// Checks `spec`; `by_systemd` says who makes its cgroup.
///
/// # Errors
/// Names what is refused.
pub fn spec(spec: &Spec, by_systemd: bool) -> Result<()> {
    if let Some(process) = spec.process() {
        self::process(process)?;
    }
    each_namespace_once(spec)?;
    // Above all that kernel parameters belong to a namespace of the container.
    Validator::validate_spec(spec)?;
    let linux = spec.linux().as_ref();
    if let Some(resources) = linux.and_then(|linux| linux.resources().as_ref()) {
        self::resources(resources, cgroup::resources::is_v2())?;
    }
    match linux.and_then(|linux| linux.cgroups_path().as_ref()) {
        Some(path) if !by_systemd => cgroup_is_free(path),
        _ => Ok(()),
    }
}

/// Checks what a container's first process and those that are run in it later have in common.
///
/// # Errors
/// Names what is refused.
pub fn process(process: &Process) -> Result<()> {
    let user = process.user();
    ensure!(user.uid() != NO_ID, "process.user.uid {NO_ID} is no user");
    let groups = user.additional_gids().iter().flatten().copied();
    ensure!(!groups.chain([user.gid()]).any(|gid| gid == NO_ID), "process.user has the gid {NO_ID}, which is no group");
    ensure!(process.cwd().is_absolute(), "process.cwd {:?} is no absolute path", process.cwd());
    Ok(())
}

/// Checks what is asked of the cgroup, now or by an update.
///
/// # Errors
/// Names what is refused.
pub fn resources(resources: &LinuxResources, on_v2: bool) -> Result<()> {
    for size in resources.hugepage_limits().iter().flatten().map(|huge| huge.page_size()) {
        ensure!(is_file_name(size), "linux.resources.hugepageLimits: {size:?} is no size of a page");
    }
    let Some(unified) = resources.unified().as_ref().filter(|unified| !unified.is_empty()) else { return Ok(()) };
    ensure!(on_v2, "linux.resources.unified is for cgroup v2, and this node has cgroup v1");
    for file in unified.keys() {
        ensure!(is_file_name(file), "linux.resources.unified: {file:?} is no name of a file");
    }
    Ok(())
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !name.starts_with('.')
}

fn each_namespace_once(spec: &Spec) -> Result<()> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let mut seen = Vec::<LinuxNamespaceType>::new();
    for namespace in namespaces {
        let kind = namespace.typ();
        ensure!(!seen.contains(&kind), "linux.namespaces has {kind} twice");
        seen.push(kind);
    }
    Ok(())
}

/// The path of the container's cgroup as runc reads it: `..` does not lead out of the hierarchy, nor, in a path that is
/// not absolute, out of the runtime's own cgroup. Not with systemd, where it is no path.
pub fn clean_cgroup_path(spec: &mut Spec, by_systemd: bool) {
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| !by_systemd) else { return };
    let cleaned = linux.cgroups_path().as_deref().map(clean).filter(|path| !path.as_os_str().is_empty());
    linux.set_cgroups_path(cleaned);
}

fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            // Neither goes above the root, nor above nothing.
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// The cgroup is the container's alone: what is in it is limited with the container, and ends with it.
fn cgroup_is_free(path: &Path) -> Result<()> {
    if !path.is_absolute() {
        return Ok(());
    }
    ensure!(path != Path::new("/"), "linux.cgroupsPath is the root of the hierarchy, which holds the whole node");
    for directory in Place::new(path)?.directories() {
        match count_processes(&directory) {
            Ok(0) => {}
            Ok(count) => bail!("container's cgroup is not empty: {count} process(es) found in {}", directory.display()),
            // It is about to go, or there is none.
            Err(error) if [Some(libc::ENOENT), Some(libc::ENODEV)].contains(&error.raw_os_error()) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look into {}", directory.display())),
        }
    }
    Ok(())
}

/// The processes of a cgroup and of those below it.
fn count_processes(directory: &Path) -> io::Result<usize> {
    let mut count = match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(processes) => processes.lines().count(),
        // One of threads, whose processes are counted above it.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => 0,
        Err(error) => return Err(error),
    };
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += count_processes(&entry.path())?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Spec {
        serde_json::from_str(json).unwrap()
    }

    fn refusal(json: &str) -> String {
        spec(&from(json), false).unwrap_err().to_string()
    }

    #[test]
    fn an_id_that_the_kernel_takes_for_none_is_refused() {
        for user in [
            r#"{"uid": 4294967295, "gid": 0}"#,
            r#"{"uid": 0, "gid": 4294967295}"#,
            r#"{"uid": 0, "gid": 0, "additionalGids": [1, 4294967295]}"#,
        ] {
            let text = format!(r#"{{"ociVersion": "1.2.0", "process": {{"cwd": "/", "user": {user}}}}}"#);
            assert!(refusal(&text).contains("4294967295"), "{user}");
        }
        let last =
            r#"{"ociVersion": "1.2.0", "process": {"cwd": "/", "user": {"uid": 4294967294, "gid": 4294967294}}}"#;
        spec(&from(last), false).unwrap();
    }

    #[test]
    fn a_kernel_parameter_of_the_node_is_refused() {
        let text = |parameter: &str| {
            format!(
                r#"{{"ociVersion": "1.2.0", "linux": {{"namespaces": [{{"type": "ipc"}}], "sysctl": {{"{parameter}": "1"}}}}}}"#
            )
        };
        spec(&from(&text("kernel.msgmax")), false).unwrap();
        for parameter in
            ["kernel.pid_max", "net.ipv4.ip_default_ttl", "kernel/pid_max", "user.max_user_namespaces", "vm.x"]
        {
            assert!(refusal(&text(parameter)).contains(&parameter.replace('/', ".")), "{parameter}");
        }
    }

    #[test]
    fn a_namespace_is_named_once() {
        let text =
            r#"{"ociVersion": "1.2.0", "linux": {"namespaces": [{"type": "ipc"}, {"type": "ipc", "path": "/x"}]}}"#;
        assert_eq!(refusal(text), "linux.namespaces has ipc twice");
    }

    #[test]
    fn a_file_of_the_cgroup_is_named_and_no_path() {
        let of = |key: &str| -> LinuxResources {
            serde_json::from_str(&format!(r#"{{"unified": {{"{key}": "1"}}}}"#)).unwrap()
        };
        resources(&of("memory.high"), true).unwrap();
        for key in ["../memory.high", "a/b", "/etc/passwd", "", ".", ".."] {
            assert!(resources(&of(key), true).unwrap_err().to_string().contains("no name of a file"), "{key}");
        }
        assert!(resources(&of("memory.high"), false).unwrap_err().to_string().contains("cgroup v1"));
    }

    #[test]
    fn a_cgroup_path_stays_in_its_hierarchy() {
        let cleaned = |path: &str| clean(Path::new(path)).display().to_string();
        assert_eq!(cleaned("/default/../../../x"), "/x");
        assert_eq!(cleaned("/a/./b//c/.."), "/a/b");
        assert_eq!(cleaned("../../x"), "x");
        assert_eq!((cleaned("/.."), cleaned("..")), ("/".to_owned(), String::new()));
        let root = r#"{"ociVersion": "1.2.0", "linux": {"cgroupsPath": "/"}}"#;
        assert!(refusal(root).contains("the whole node"));
    }
}
