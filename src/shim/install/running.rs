//! Containers that run under this runtime.

use std::{fs, path::Path};

use wasmedge_shim_protocol::Location;

use super::{
    process::{self, Process},
    programs::SHIM,
    root::Root,
};

/// The containers, as `NAMESPACE/ID`: those that the engine host keeps records of, and the pods of running shims.
pub fn containers(root: &Root) -> Vec<String> {
    let mut found: Vec<String> = process::all(root).iter().filter_map(shim).collect();
    let state = Location::default().namespace_state("");
    for namespace in names(root, &state) {
        found.extend(names(root, &state.join(&namespace)).into_iter().map(|id| format!("{namespace}/{id}")));
    }
    found.sort();
    found.dedup();
    found
}

/// The container or pod that a shim was started for.
fn shim(process: &Process) -> Option<String> {
    if process.name() != SHIM {
        return None;
    }
    Some(format!("{}/{}", process.option(&["namespace"])?, process.option(&["id"])?))
}

fn names(root: &Root, directory: &Path) -> Vec<String> {
    let entries = root.at(directory).and_then(|path| Ok(fs::read_dir(path)?)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
