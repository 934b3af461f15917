//! What is mounted for a container: its root filesystem, and sources of mounts that libcontainer cannot open itself.

pub mod destinations;
pub mod detached;
pub mod hidden;
pub mod options;
pub mod propagation;
pub mod rootfs;
pub mod staging;
pub mod tree;
