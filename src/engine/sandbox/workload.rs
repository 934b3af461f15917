//! The second stage of a creation: what is to be run, found in the root filesystem, which is mounted and looked at from
//! outside. What the sandbox is to be like depends on it.
//!
//! A worker looks at files of the image with the node's rights, so it opens them through one door ([`crate::files`]), and reads
//! no more of them than the head of a program, a module's bytes for its digest and the line of a user.

use std::{
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt,
};

use anyhow::{Context, Result};
use oci_spec::runtime::Spec;
use wasmedge_shim_protocol::{Create, Location};

use super::{
    artifact, home,
    lookup::{self, Program},
    mounts::destinations,
    native_code::{self, Asker, NativeCode},
    plan::{Plan, process_of},
    plugins,
    state::State,
};
use crate::{aot::Layers, files::Root};

/// What is to be run.
pub enum Workload {
    /// A module.
    Module {
        /// Its native code, if it has some.
        code: Option<NativeCode>,
        /// By which files of the root filesystem are recognized.
        layers: Option<Layers>,
    },
    /// A Linux program, or what will be told from inside not to be one.
    Linux,
}

impl Workload {
    /// Finds it. Adds to the plan what is known only now: `HOME`, mounts of modules that are layers of the image, and, for a
    /// module, what its pod asks for elsewhere than in the spec.
    /// Makes the working directory, as runc does.
    ///
    /// # Errors
    /// Names the file, the layer, the setting or the plugin.
    pub fn find(location: &Location, state: &State, request: &Create, plan: &mut Plan) -> Result<Self> {
        destinations::check_root(&plan.root)?;
        let root = Root::new(&plan.root).with_context(|| format!("cannot use the root {}", plan.root.display()))?;
        make_working_directory(&plan.spec, &root)?;
        let spec = plan.spec.clone();
        if let Some(process) = plan.spec.process_mut() {
            home::set(process, &|path| lookup::open(&spec, &root, path));
        }
        let Some(file) = find_module(location, state, request, &mut plan.spec, &root)? else { return Ok(Self::Linux) };
        plan.ask(request)?;
        let layers = Layers::for_file(&file, &request.rootfs, &plan.root);
        let features = plan.settings.features();
        let asker = Asker::init(&request.key, plan.spec.annotations().as_ref(), &plan.limits);
        let entry = native_code::obtain(location, &asker, &plan.aot, features, file, layers.as_ref())?;
        let code = entry.map(|entry| NativeCode::new(entry, &plan.aot)).transpose()?.flatten();
        // Into this process, from the node's files: those that it makes have them too.
        plugins::load(&plan.settings.plugins)?;
        Ok(Self::Module { code, layers })
    }

    /// Whether it is a module.
    pub fn is_module(&self) -> bool {
        matches!(self, Self::Module { .. })
    }

    /// Its native code.
    pub fn code(&self) -> Option<&NativeCode> {
        if let Self::Module { code, .. } = self { code.as_ref() } else { None }
    }
}

/// The module to run, if it is one. What is not in the root filesystem may be in the image.
fn find_module(
    location: &Location,
    state: &State,
    request: &Create,
    spec: &mut Spec,
    root: &Root,
) -> Result<Option<File>> {
    let find = |spec: &Spec| -> Result<Program> {
        Ok(lookup::program(process_of(spec)?, &|path| lookup::open(spec, root, path)))
    };
    let mut program = find(spec)?;
    if let Program::Missing(missing) = &program
        && artifact::provide(location, request, spec, root, state.bundle(), missing)?
    {
        program = find(spec)?;
    }
    Ok(if let Program::Module(file) = program { Some(file) } else { None })
}

fn make_working_directory(spec: &Spec, root: &Root) -> Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let cwd = process.cwd();
    if lookup::exists(spec, root, cwd) {
        return Ok(());
    }
    pathrs::Root::from_fd(root.directory().try_clone()?)
        .mkdir_all(cwd, &Permissions::from_mode(0o755))
        .map(drop)
        .with_context(|| format!("cannot make the working directory {}", cwd.display()))
}
