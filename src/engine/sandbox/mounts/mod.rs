//! What is mounted for a container: its root filesystem, and sources of mounts that libcontainer cannot open itself.

pub mod detached;
pub mod options;
pub mod propagation;
pub mod rootfs;
pub mod staging;
