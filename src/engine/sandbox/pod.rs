//! A container of a pod whose shared parts its shim holds: the spec names them as those of a process, `/proc/PID/ns/KIND`, and
//! gets what the shim has instead.
//!
//! The namespaces become descriptors of the worker's. A path would not do: the init opens it when it is root of the pod's user
//! namespace, which may not look into the shim.

use std::{
    fs::File,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Mount, Spec};
use wasmedge_shim_protocol::{NamespaceKind, Pod, PodFile};

/// What the container was given of its pod, kept open until it is made.
#[derive(Default)]
pub struct Shared(Vec<OwnedFd>);

impl Shared {
    /// Gives the container of `spec` what `pod` has.
    ///
    /// # Errors
    /// Names the namespace that cannot be had.
    pub fn join(spec: &mut Spec, pod: &Pod) -> Result<Self> {
        add_files(spec, &pod.files);
        let mut opened = Vec::new();
        let Some(linux) = spec.linux_mut() else { return Ok(Self(opened)) };
        let mut kept = Vec::new();
        for mut namespace in linux.namespaces().clone().unwrap_or_default() {
            if let Some(kind) = of_pod(&namespace, pod.pid) {
                // Without one of its own the pod is in the node's.
                let Some(own) = pod.namespaces.iter().find(|own| own.kind == kind) else { continue };
                let file =
                    open(&own.path).with_context(|| format!("cannot join the pod's {} namespace", kind.name()))?;
                namespace.set_path(Some(format!("/proc/self/fd/{}", file.as_raw_fd()).into()));
                opened.push(file);
            }
            kept.push(namespace);
        }
        linux.set_namespaces(Some(kept));
        Ok(Self(opened))
    }

    /// The descriptors, by which the spec names the namespaces.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.0.iter().map(AsRawFd::as_raw_fd)
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    Ok(File::open(path).with_context(|| format!("{} (has its shim ended?)", path.display()))?.into())
}

/// What of the pod a namespace of a spec is.
fn of_pod(namespace: &LinuxNamespace, pid: u32) -> Option<NamespaceKind> {
    let kind = kind_of(namespace.typ())?;
    let name = PathBuf::from(format!("/proc/{pid}/ns/{}", kind.name()));
    (namespace.path().as_ref() == Some(&name)).then_some(kind)
}

fn kind_of(kind: LinuxNamespaceType) -> Option<NamespaceKind> {
    Some(match kind {
        LinuxNamespaceType::Network => NamespaceKind::Net,
        LinuxNamespaceType::Ipc => NamespaceKind::Ipc,
        LinuxNamespaceType::Uts => NamespaceKind::Uts,
        LinuxNamespaceType::User => NamespaceKind::User,
        LinuxNamespaceType::Pid => NamespaceKind::Pid,
        _ => return None,
    })
}

/// Bind mounts of the pod's files, as containerd's CRI plugin adds them where a pod has a container of its own. A filesystem of
/// the container's alone gives way to the pod's.
fn add_files(spec: &mut Spec, files: &[PodFile]) {
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or_default();
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    for file in files {
        let bind = bind(file, read_only && !file.source.is_dir());
        match mounts.iter_mut().find(|mount| mount.destination() == &file.destination) {
            Some(mount) if mount.typ().as_deref() == Some("tmpfs") => *mount = bind,
            Some(_) => {}
            None => mounts.push(bind),
        }
    }
    spec.set_mounts(Some(mounts));
}

fn bind(file: &PodFile, read_only: bool) -> Mount {
    let options = ["rbind", "rprivate", if read_only { "ro" } else { "rw" }].map(str::to_owned);
    let mut mount = Mount::default();
    mount.set_destination(file.destination.clone());
    mount.set_typ(Some("bind".into()));
    mount.set_source(Some(file.source.clone()));
    mount.set_options(Some(options.into()));
    mount
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wasmedge_shim_protocol::PodNamespace;

    use super::*;

    fn pod(pid: u32, own: &[NamespaceKind]) -> Pod {
        let path = |kind: &NamespaceKind| format!("/proc/self/ns/{}", kind.name()).into();
        let namespaces = own.iter().map(|kind| PodNamespace { kind: *kind, path: path(kind) }).collect();
        Pod { pid, namespaces, files: Vec::new(), annotations: BTreeMap::new() }
    }

    fn spec(namespaces: &str) -> Spec {
        let text = format!(r#"{{"ociVersion": "1.2.0", "linux": {{"namespaces": [{namespaces}]}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn namespaces(spec: &Spec) -> Vec<(LinuxNamespaceType, Option<String>)> {
        let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        namespaces.iter().map(|one| (one.typ(), one.path().as_ref().map(|path| path.display().to_string()))).collect()
    }

    #[test]
    fn names_of_the_pod_s_namespaces_become_descriptors_and_other_names_stay() {
        let mut spec = spec(
            r#"{"type": "mount"}, {"type": "ipc", "path": "/proc/0/ns/ipc"}, {"type": "uts", "path": "/proc/0/ns/uts"},
               {"type": "pid", "path": "/proc/77/ns/pid"}, {"type": "network", "path": "/proc/0/ns/ipc"}"#,
        );
        let shared = Shared::join(&mut spec, &pod(0, &[NamespaceKind::Ipc])).unwrap();
        let fd = shared.descriptors().next().unwrap();
        let named = |path: &str| Some(path.to_owned());
        let expected = [
            (LinuxNamespaceType::Mount, None),
            (LinuxNamespaceType::Ipc, Some(format!("/proc/self/fd/{fd}"))),
            // The host name is the node's: the pod has none of its own.
            (LinuxNamespaceType::Pid, named("/proc/77/ns/pid")),
            (LinuxNamespaceType::Network, named("/proc/0/ns/ipc")),
        ];
        assert_eq!(namespaces(&spec), expected);
        assert_eq!(shared.descriptors().count(), 1);
        let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        assert_eq!(target, std::fs::read_link("/proc/self/ns/ipc").unwrap());
    }

    #[test]
    fn a_namespace_that_is_gone_is_an_error_and_never_the_node_s() {
        let mut spec = spec(r#"{"type": "ipc", "path": "/proc/0/ns/ipc"}"#);
        let mut pod = pod(0, &[NamespaceKind::Ipc]);
        pod.namespaces[0].path = "/proc/1/fd/no".into();
        let error = format!("{:#}", Shared::join(&mut spec, &pod).err().unwrap());
        assert!(error.starts_with("cannot join the pod's ipc namespace: /proc/1/fd/no"), "{error}");
    }

    #[test]
    fn files_of_the_pod_are_there_where_the_spec_has_nothing_else() {
        let text = r#"{"ociVersion": "1.2.0", "root": {"path": "r", "readonly": true}, "mounts": [
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
            {"destination": "/etc/hosts", "type": "bind", "source": "/kubelet/hosts"}]}"#;
        let mut spec: Spec = serde_json::from_str(text).unwrap();
        let file = |source: &str, destination: &str| PodFile { source: source.into(), destination: destination.into() };
        let files =
            vec![file("/tmp", "/dev/shm"), file("/pod/hosts", "/etc/hosts"), file("/pod/name", "/etc/hostname")];
        let shared = Shared::join(&mut spec, &Pod { files, ..pod(0, &[]) }).unwrap();
        assert_eq!(shared.descriptors().count(), 0);
        let mounts = spec.mounts().clone().unwrap();
        let sources: Vec<_> =
            mounts.iter().map(|mount| mount.source().clone().unwrap().display().to_string()).collect();
        assert_eq!(sources, ["/tmp", "/kubelet/hosts", "/pod/name"]);
        let has = |mount: &Mount, option: &str| mount.options().iter().flatten().any(|one| one == option);
        assert!(has(&mounts[0], "rw") && has(&mounts[2], "ro"));
    }
}
