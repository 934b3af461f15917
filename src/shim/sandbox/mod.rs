//! A pod without a container of its own: containerd's sandbox API (`containerd.runtime.sandbox.v1`), for which the shim itself
//! holds what the pod's containers share.
//!
//! containerd asks for it where its CRI plugin's runtime has `sandboxer = "shim"`.

mod cgroup;
mod config;
mod confine;
mod files;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod maker;
mod namespaces;
mod parameters;
mod pod;
mod service;

pub use files::Files;
pub use maker::{NAME, command};
pub use pod::{Sandbox, clean_up};
pub use service::SandboxService;
