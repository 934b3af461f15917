//! The first stage of a creation: the request is read and judged. Nothing of the container is there yet, and nothing of its
//! image is looked at.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use oci_spec::runtime::{Hook, Process, Spec};
use serde_json::Value;
use wasmedge_shim_protocol::{Aot, Create, PodName};

use super::{annotations::Asked, asking, check, hooks, native_code, pod::Shared, settings, translate};
use crate::{
    guest::{Settings, has_init},
    journal,
    wasm::Limits,
};

/// Most characters that are kept of a program's name.
const PROGRAM: usize = 200;

/// What is wanted of a container.
pub struct Plan {
    /// containerd's spec, with what is unsaid in it said.
    pub spec: Spec,
    /// What it shares with its pod, where the shim holds that.
    pub shared: Shared,
    /// Where its root filesystem will be, on the node.
    pub root: PathBuf,
    /// What Kubernetes calls it.
    pub pod: Option<PodName>,
    /// What its spec asks for.
    asked: Asked,
    /// How its modules get native code.
    pub aot: Aot,
    /// What its modules have of the engine's abilities.
    pub settings: Settings,
    /// Bounds for its modules.
    pub limits: Limits,
    /// The node's number of its user.
    pub owner: u32,
    /// Whether there are hooks to run after its start or its end.
    pub late_hooks: bool,
    /// Hooks that the init runs itself, and the state that they are told.
    pub start_hooks: Option<(Vec<Hook>, Value)>,
}

impl Plan {
    /// Reads the bundle that `request` names.
    ///
    /// # Errors
    /// Names the file, or what in it is not understood or not allowed.
    pub fn read(request: &Create) -> Result<Self> {
        let config = request.bundle.join("config.json");
        let mut spec = load(&config)?;
        let pod = spec.annotations().as_ref().and_then(PodName::of).or_else(|| request.further.pod.clone());
        journal::about(&request.key, pod.as_ref());
        let shared = request
            .further
            .shared
            .as_ref()
            .map_or_else(|| Ok(Shared::default()), |pod| Shared::join(&mut spec, pod))?;
        check::clean_cgroup_path(&mut spec, request.options.systemd_cgroup);
        check::spec(&spec, request.options.systemd_cgroup)?;
        let late_hooks = spec.hooks().as_ref().is_some_and(hooks::late);
        translate::absolute_root(&mut spec, &request.bundle);
        translate::spell_out(&mut spec);
        let root = spec.root().as_ref().with_context(|| format!("{}: the spec has no root", config.display()))?;
        let root = root.path().clone();
        let asked = Asked::by_spec(spec.annotations().as_ref());
        Ok(Self {
            aot: native_code::wanted(&request.options.aot, &asked)?,
            settings: settings::wanted(&request.options, &request.further, &asked)?,
            limits: translate::limits(&spec),
            // Of the spec as it came: its mappings go where its user namespace is made.
            owner: translate::user_on_the_node(&spec),
            asked,
            pod,
            late_hooks,
            start_hooks: hooks::take_start_container(&mut spec, &request.key, &request.bundle),
            root,
            spec,
            shared,
        })
    }

    /// Takes what is asked for the container's modules elsewhere than in its spec. Due where there is a module.
    ///
    /// # Errors
    /// containerd cannot be asked, or what is asked for is not understood or not allowed.
    pub fn ask(&mut self, request: &Create) -> Result<()> {
        if let Some(asked) = asking::complete(request, self.spec.annotations().as_ref(), &self.asked)? {
            self.aot = native_code::wanted(&request.options.aot, &asked)?;
            self.settings = settings::wanted(&request.options, &request.further, &asked)?;
        }
        Ok(())
    }
}

impl Plan {
    /// What is to be run, for people, without an init that was put in front of it.
    pub fn program(&self) -> String {
        let process = self.spec.process().as_ref();
        let args = process.and_then(|process| process.args().as_deref()).unwrap_or_default();
        let place = if has_init(args) { 2 } else { 0 };
        args.get(place).map(|name| name.chars().take(PROGRAM).collect()).unwrap_or_default()
    }
}

/// A spec in a file.
///
/// # Errors
/// Names the file.
pub fn load(path: &Path) -> Result<Spec> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not an OCI runtime spec", path.display()))
}

/// The process that a spec describes.
///
/// # Errors
/// Where it has none.
pub fn process_of(spec: &Spec) -> Result<&Process> {
    spec.process().as_ref().context("the spec has no process")
}
