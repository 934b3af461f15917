//! `/sys/fs/cgroup` in a Linux container, on cgroup v1.
//!
//! libcontainer mounts it writable whatever the spec says, tied to the node's mounts, and finds the container's place in
//! it by process ids, which fails in a pid namespace that a pod shares. Here it is made of bind mounts, as in runc: one
//! of the container's own directory per hierarchy.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use oci_spec::runtime::{LinuxNamespaceType, Mount, MountBuilder, Spec};

use super::directories::v1_hierarchies;
use crate::hierarchies::Hierarchy;

/// Replaces a mount of type `cgroup`. Not on cgroup v2, in a cgroup namespace of the container's own, or where systemd
/// decides on the directories: there libcontainer's way is right.
pub fn replace(spec: &mut Spec) -> Result<()> {
    let Some(mounts) = spec.mounts().clone() else { return Ok(()) };
    let Some(position) = mounts.iter().position(|mount| mount.typ().as_deref() == Some("cgroup")) else {
        return Ok(());
    };
    let hierarchies = v1_hierarchies()?;
    let Some(container) = own_path(spec).filter(|_| !hierarchies.is_empty()) else { return Ok(()) };
    let mut replaced = mounts[..position].to_vec();
    replaced.extend(bind_mounts(&mounts[position], &hierarchies, &container)?);
    replaced.extend_from_slice(&mounts[position + 1..]);
    spec.set_mounts(Some(replaced));
    Ok(())
}

/// The container's path in every hierarchy, where it is a plain path and the container is not in a cgroup namespace of its
/// own.
pub fn own_path(spec: &Spec) -> Option<PathBuf> {
    let linux = spec.linux().as_ref()?;
    let namespaced = linux.namespaces().iter().flatten().any(|one| one.typ() == LinuxNamespaceType::Cgroup);
    let path = linux.cgroups_path().clone()?;
    (!namespaced && path.is_absolute()).then_some(path)
}

fn bind_mounts(original: &Mount, hierarchies: &[Hierarchy], container: &std::path::Path) -> Result<Vec<Mount>> {
    let options: Vec<String> = original.options().clone().unwrap_or_default();
    let top = original.destination();
    let plain = options.iter().filter(|option| !["ro", "rw"].contains(&option.as_str())).cloned();
    let tmpfs = plain.chain(["mode=755".to_owned()]).collect::<Vec<_>>();
    let mut mounts =
        vec![MountBuilder::default().typ("tmpfs").source("tmpfs").destination(top.clone()).options(tmpfs).build()?];
    for hierarchy in hierarchies {
        let below = container.strip_prefix("/").unwrap_or(container);
        let source = hierarchy.mount_point.join(below);
        fs::create_dir_all(&source).with_context(|| format!("cannot make {}", source.display()))?;
        let mut bind = options.clone();
        bind.extend(["bind".to_owned(), "rprivate".to_owned()]);
        // A hierarchy of several controllers is found under each of their names and under all together.
        let name = hierarchy.mount_point.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parts = name.split(',').map(str::to_owned).filter(|part| *part != name).collect::<Vec<_>>();
        for name in [name].into_iter().chain(parts) {
            let mount = MountBuilder::default().typ("bind").source(source.clone()).destination(top.join(name));
            mounts.push(mount.options(bind.clone()).build()?);
        }
    }
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_is_a_read_only_bind_mount_of_the_containers_directory() {
        let node = tempfile::tempdir().unwrap();
        let hierarchy = |name: &str| Hierarchy {
            controllers: name.to_owned(),
            mount_point: node.path().join(name),
            root: "/".into(),
        };
        let original = MountBuilder::default()
            .typ("cgroup")
            .destination("/sys/fs/cgroup")
            .options(["ro", "nosuid"].map(str::to_owned).to_vec())
            .build()
            .unwrap();
        let hierarchies = [hierarchy("cpu,cpuacct"), hierarchy("memory")];
        let mounts = bind_mounts(&original, &hierarchies, "/docker/a".as_ref()).unwrap();
        let destinations: Vec<_> = mounts.iter().map(|mount| mount.destination().display().to_string()).collect();
        assert_eq!(
            destinations,
            ["", "/cpu,cpuacct", "/cpu", "/cpuacct", "/memory"].map(|name| format!("/sys/fs/cgroup{name}"))
        );
        assert_eq!(mounts[4].source().clone().unwrap(), node.path().join("memory/docker/a"));
        assert!(mounts[4].options().as_ref().unwrap().contains(&"ro".to_owned()));
        assert!(!mounts[0].options().as_ref().unwrap().contains(&"ro".to_owned()));
        assert!(node.path().join("memory/docker/a").is_dir());
    }

    #[test]
    fn a_cgroup_namespace_is_left_to_libcontainer() {
        let mut spec = Spec::default();
        spec.linux_mut().as_mut().unwrap().set_cgroups_path(Some("/a".into()));
        assert_eq!(
            own_path(&spec).is_some(),
            !spec
                .linux()
                .as_ref()
                .unwrap()
                .namespaces()
                .iter()
                .flatten()
                .any(|one| one.typ() == LinuxNamespaceType::Cgroup)
        );
        spec.linux_mut().as_mut().unwrap().set_cgroups_path(Some("system.slice:docker:a".into()));
        assert_eq!(own_path(&spec), None);
    }
}
