//! containerd as its clients see it: images, their blobs and their snapshots. Needed only where an image is more than the
//! root filesystem that containerd makes of it, and by people's commands.

mod apart;
mod client;
#[cfg(any(feature = "fuzzing", test))]
pub mod fuzz;
mod image;
mod snapshot;

pub use apart::apart;
pub use client::{Client, check, sha256_of};
pub use image::{manifests, title, wasm_layers};
pub use snapshot::view;
