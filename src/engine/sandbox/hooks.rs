//! Hooks of the OCI spec, by when they are run and by whom.
//!
//! libcontainer runs those of the creation, and tells them the directory that it was given for the bundle. So it is given
//! containerd's, with our spec in it for that time. `startContainer` is the init's own, `poststart` and `poststop` are run
//! here.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use oci_spec::runtime::{Hook, Hooks, Spec};
use serde_json::{Value, json};
use wasmedge_shim_protocol::ContainerKey;

use crate::guest::run_hook;

/// Whether libcontainer has hooks to run.
pub fn during_creation(hooks: Option<&Hooks>) -> bool {
    let Some(hooks) = hooks else { return false };
    let kinds = [hooks.prestart(), hooks.create_runtime(), hooks.create_container()];
    kinds.into_iter().any(|kind| kind.as_ref().is_some_and(|hooks| !hooks.is_empty()))
}

/// Whether there are hooks for [`run`].
pub fn late(hooks: &Hooks) -> bool {
    let kinds = [hooks.poststart(), hooks.poststop()];
    kinds.into_iter().any(|kind| kind.as_ref().is_some_and(|hooks| !hooks.is_empty()))
}

/// A spec in the place of the bundle's own, which returns when this is dropped.
pub struct Replaced {
    path: PathBuf,
    original: PathBuf,
}

impl Replaced {
    /// Puts the spec at `ours` into `bundle`. `aside` is where the original waits.
    pub fn new(bundle: &Path, ours: &Path, aside: &Path) -> Result<Self> {
        let (path, new) = (bundle.join("config.json"), bundle.join("config.json.new"));
        let failed = || format!("cannot replace {}", path.display());
        fs::copy(&path, aside).with_context(failed)?;
        fs::copy(ours, &new).and_then(|_| fs::rename(&new, &path)).with_context(failed)?;
        Ok(Self { path, original: aside.to_owned() })
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        let new = self.path.with_extension("json.new");
        if let Err(error) = fs::copy(&self.original, &new).and_then(|_| fs::rename(&new, &self.path)) {
            log::warn!("cannot put {} back: {error}", self.path.display());
        }
    }
}

/// When a late hook is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The container was started; its init is the process with this id.
    Started(i32),
    /// The container has been deleted.
    Stopped,
}

/// The state of a container as hooks are told it (OCI runtime-spec, `runtime.md`, "State").
pub fn state(key: &ContainerKey, spec: &Spec, bundle: &Path, status: &str, pid: Option<i32>) -> Value {
    let mut state = json!({
        "ociVersion": spec.version(), "id": key.id, "status": status, "bundle": bundle,
        "annotations": spec.annotations(),
    });
    if let Some(pid) = pid {
        state["pid"] = json!(pid);
    }
    state
}

/// Takes out what the init runs itself before its program; the state that these hooks are told, without a pid.
pub fn take_start_container(spec: &mut Spec, key: &ContainerKey, bundle: &Path) -> Option<(Vec<Hook>, Value)> {
    let mut hooks = spec.hooks().clone()?;
    let due = hooks.start_container().clone().filter(|due| !due.is_empty())?;
    hooks.set_start_container(None);
    spec.set_hooks(Some(hooks));
    Some((due, state(key, spec, bundle, "created", None)))
}

/// Runs the hooks of the container whose bundle is `bundle`, one after the other.
///
/// # Errors
/// Of the first that fails after a start, which runc refuses then; the others are not run. After the end all are run.
pub fn run(key: &ContainerKey, bundle: &Path, moment: Moment) -> Result<(), String> {
    let path = bundle.join("config.json");
    let spec: Option<Spec> = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let spec = spec.ok_or_else(|| format!("no hooks are run, {} cannot be read", path.display()))?;
    let hooks = spec.hooks().clone().unwrap_or_default();
    match moment {
        Moment::Started(pid) => {
            let state = state(key, &spec, bundle, "running", Some(pid)).to_string();
            hooks.poststart().iter().flatten().try_for_each(|hook| run_hook(hook, state.as_bytes(), &[]))
        }
        Moment::Stopped => {
            let state = state(key, &spec, bundle, "stopped", None).to_string();
            for hook in hooks.poststop().iter().flatten() {
                if let Err(cause) = run_hook(hook, state.as_bytes(), &[]) {
                    log::warn!("{key}: {cause}");
                }
            }
            Ok(())
        }
    }
}
