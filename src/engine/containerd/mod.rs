//! containerd as its clients see it: images, their blobs and their snapshots, records of containers. Needed only where an
//! image is more than the root filesystem that containerd makes of it, where a pod asks for more than containerd passes on,
//! and by people's commands.

mod apart;
mod client;
mod cri;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod image;
mod snapshot;

pub use apart::apart;
pub use client::{Client, check, sha256_of};
pub use cri::{Said, said};
pub use image::{manifests, title, wasm_layers};
pub use snapshot::view;
