//! The plugins that a container's modules have.
//!
//! A plugin is native code in the engine's process, so only root may have put it there: images and annotations name no path,
//! and of the names only those that the runtime's options have. It is loaded by the worker that makes the container or a
//! program in it, from the node's filesystem; the processes that the worker makes have it too.

use std::{ffi::CString, fs, os::unix::ffi::OsStrExt, path::Path};

use anyhow::{Context, Result, anyhow, ensure};
use wasmedge_shim_protocol::{Plugins, others_can_change};

use crate::wasm::{load_plugin, preload_models};

/// Variable with models for WASI-NN, separated by spaces. Its plugin does not read it, whoever embeds WasmEdge does.
const MODELS: &str = "WASMEDGE_WASINN_PRELOAD";

/// Loads `plugins` into this process and gives it their environment.
///
/// # Errors
/// Names a plugin that cannot be loaded, or the file or directory that others than root can change.
pub fn load(plugins: &Plugins) -> Result<()> {
    if plugins.names.is_empty() {
        return Ok(());
    }
    let directory = fs::canonicalize(&plugins.directory)
        .with_context(|| format!("plugins.dir: cannot use {}", plugins.directory.display()))?;
    for above in directory.ancestors() {
        only_root_changes(above)?;
    }
    for (name, value) in &plugins.env {
        // SAFETY: the process has one thread.
        unsafe { std::env::set_var(name, value) };
    }
    for name in &plugins.names {
        let path = directory.join(format!("{name}.so"));
        only_root_changes(&path)?;
        let text = CString::new(path.as_os_str().as_bytes())?;
        load_plugin(&text).map_err(|cause| anyhow!("cannot load the plugin {}: {cause}", path.display()))?;
    }
    if let Some((_, models)) = plugins.env.iter().find(|(name, _)| name == MODELS) {
        let models: Vec<String> = models.split_whitespace().map(str::to_owned).collect();
        preload_models(&models);
    }
    Ok(())
}

/// A link is not followed: what it leads to could be changed by others.
fn only_root_changes(path: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(path).with_context(|| format!("cannot use the plugin {}", path.display()))?;
    ensure!(
        !others_can_change(&meta) && !meta.is_symlink(),
        "plugins are not loaded: others than root can change {}",
        path.display()
    );
    Ok(())
}
