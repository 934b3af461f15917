//! Sources of bind mounts for a container in a user namespace.
//!
//! libcontainer opens them as the namespace's root, who cannot pass the directories of containerd and the kubelet that
//! only the node's root may enter, and it knows no mapped mounts. So each source is mounted first in a place that the
//! container can reach, mapped where the spec asks for it. That place is in a mount namespace of the worker's own: it
//! is gone when the container is made.

use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};

use super::{destinations::is_bind, detached::DetachedMount};
use crate::sandbox::userns;

/// Below the bundle, which containerd has opened to the container's root.
const NAME: &str = "sources";

/// Mounts the sources where that is needed, and lets the spec name the new places. `namespace` is the container's own
/// user namespace, if it was made here.
pub fn stage(spec: &mut Spec, bundle: &Path, namespace: Option<&OwnedFd>) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    if !in_user_namespace(spec) && !mounts.iter().any(wants_mapping) {
        return Ok(());
    }
    let joined = joined_namespace(spec)?;
    let namespace = namespace.or(joined.as_ref());
    let place = place_of_mounts(bundle, NAME)?;
    for (number, one) in mounts.iter_mut().enumerate().filter(|(_, one)| is_bind(one)) {
        let target = place.join(number.to_string());
        stage_one(one, &target, namespace)
            .with_context(|| format!("cannot prepare the mount on {}", one.destination().display()))?;
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// A place for mounts that the container's root can reach, in a mount namespace that this process has then to itself.
pub fn place_of_mounts(bundle: &Path, name: &str) -> Result<PathBuf> {
    let place = bundle.join(name);
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), Some("mode=0711"))
        .with_context(|| format!("cannot mount {}", place.display()))?;
    Ok(place)
}

fn stage_one(one: &mut Mount, target: &Path, namespace: Option<&OwnedFd>) -> Result<()> {
    let source = one.source().clone().context("it has no source")?;
    let meta = fs::metadata(&source).with_context(|| format!("cannot use {}", source.display()))?;
    if meta.is_dir() {
        fs::create_dir(target)?;
        fs::set_permissions(target, fs::Permissions::from_mode(0o755))?;
    } else {
        fs::write(target, "")?;
    }
    let copy = DetachedMount::copy(&source, has(one, "rbind"))
        .with_context(|| format!("cannot copy the mount of {}", source.display()))?;
    if wants_mapping(one) {
        let (users, groups) = (one.uid_mappings().as_deref(), one.gid_mappings().as_deref());
        let own = match (users, groups) {
            (None, None) => None,
            (users, groups) => Some(userns::with_mappings(users.unwrap_or_default(), groups.unwrap_or_default())?),
        };
        let namespace = own.as_ref().or(namespace).context("it is to be mapped, and there is no mapping")?;
        copy.map_ids(namespace, has(one, "ridmap"))
            .with_context(|| format!("the filesystem of {} cannot be mapped", source.display()))?;
    }
    copy.attach(target).with_context(|| format!("cannot mount {}", target.display()))?;
    one.set_source(Some(target.to_owned()));
    one.set_uid_mappings(None);
    one.set_gid_mappings(None);
    let options = one.options().clone().unwrap_or_default();
    one.set_options(Some(options.into_iter().filter(|option| option != "idmap" && option != "ridmap").collect()));
    Ok(())
}

fn in_user_namespace(spec: &Spec) -> bool {
    user_namespace(spec).is_some()
}

fn user_namespace(spec: &Spec) -> Option<&oci_spec::runtime::LinuxNamespace> {
    let namespaces = spec.linux().as_ref()?.namespaces().as_ref()?;
    namespaces.iter().find(|namespace| namespace.typ() == LinuxNamespaceType::User)
}

/// The user namespace of another container or process that the container joins.
fn joined_namespace(spec: &Spec) -> Result<Option<OwnedFd>> {
    let Some(path) = user_namespace(spec).and_then(|namespace| namespace.path().clone()) else { return Ok(None) };
    let file = File::open(&path).with_context(|| format!("cannot open the user namespace {}", path.display()))?;
    Ok(Some(file.into()))
}

fn wants_mapping(one: &Mount) -> bool {
    one.uid_mappings().is_some() || one.gid_mappings().is_some() || has(one, "idmap") || has(one, "ridmap")
}

fn has(one: &Mount, option: &str) -> bool {
    one.options().iter().flatten().any(|given| given == option)
}
