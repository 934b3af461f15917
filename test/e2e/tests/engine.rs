//! WasmEdge's own abilities, by annotations of containers and by options of the runtime.

mod core_dumps;
mod limits;
mod metrics;
mod node_options;
mod out_of_memory;
mod plugins;
mod ports;
mod preopens;
mod proposals;
mod reactors;
mod signals;
mod statistics;
mod status;
mod wasi;

use std::fs;

use e2e::{Kind, Scene, ctr, docker};

/// `docker run` of a module with an annotation of ours, such as `gas-limit=1000`.
fn annotated(scene: &Scene, annotations: &[&str]) -> docker::Run {
    let flags = annotations.iter().map(|annotation| format!("--annotation=io.wasmedge.{annotation}"));
    scene.docker(Kind::Wasm).flags(flags)
}

/// `ctr run` of a module with the options of the TOML document `text` and annotations of ours.
fn with_options(scene: &Scene, text: &str, annotations: &[&str]) -> ctr::Run {
    let file = scene.directory().join(format!("{}.toml", scene.name()));
    fs::write(&file, text).unwrap();
    let flags = annotations.iter().map(|annotation| format!("--annotation=io.wasmedge.{annotation}"));
    scene.ctr(Kind::Wasm).flags([format!("--runtime-config-path={}", file.display())]).flags(flags)
}
